"""The events that a year has to bring, each with a story that shows its effect, and the promises that it keeps."""

from typing import NamedTuple

from troubles import KINDS, Trouble
from year_story import Events

Values = dict[str, object]


class Shown(NamedTuple):
    """Events that show one kind of event, and a pattern for what their story says of its effect."""

    events: Events
    says: str
    by_pipelines: bool = False


def push(what: str = "better data", trouble: Trouble | None = None) -> tuple[str, Values]:
    """Return a push."""
    return "push", {"what": what, "trouble": trouble}


def approve(which: int = 0, trouble: Trouble | None = None) -> tuple[str, Values]:
    """Return an approval; `which` counts what waits, the oldest first."""
    return "approve", {"which": which, "trouble": trouble}


def monitor(kind: str) -> tuple[str, Values]:
    """Return a month of the monitor."""
    return "monitor_runs", {"kind": kind, "trouble": None}


def deliver(option: str, which: int = 0, environment: str = "prod") -> tuple[str, Values]:
    """Return a delivery by hand; `which` counts the versions, the newest first."""
    given = {"environment": environment, "which": which, "option": option, "typed": "right", "trouble": None}
    return "deliver_by_hand", given


def roll_back(environment: str, which: int | None = None) -> tuple[str, Values]:
    """Return a rollback, to the version before or to a named one."""
    return "roll_back", {"environment": environment, "which": which, "trouble": None}


def together(other: str) -> Shown:
    """Return how a delivery and another verb take turns."""
    events: Events = [push(), ("two_at_once", {"changes": [True, False] * 20, "other": other})]
    return Shown(events, f"while another one runs a {other} in prod -> ")


def in_the_studio(which: int) -> tuple[str, Values]:
    """Return what a person does without a verb."""
    return "act_in_the_studio", {"which": which}


HOW = {"killed": "prod: killed", "killed after": "prod: killed", "throttled": "prod done", "late": "prod done"}
"""How the delivery ends, other than with a failure that leaves the old deployment as it is."""

WEEK = ("train_on_schedule", {"trouble": None})
CHANGE = ("add_or_remove_environment", {"trouble": None})


def update(*, released: bool, merged: bool) -> tuple[str, Values]:
    """Return a week of the pipeline that looks for a release of the template."""
    return "look_for_template_update", {"released": released, "merged": merged, "fails": ""}


def again(rule: str) -> tuple[str, Values]:
    """Return how a person runs something again."""
    return rule, {"which": 0, "trouble": None}


def build(end: str) -> tuple[str, Values]:
    """Return a change of the infrastructure of prod, and what becomes of it."""
    return "change_infrastructure", {"environment": "prod", "how": "an apply", "end": end, "trouble": None}


STAYS = "prod green=v10:100%"
EVENTS: dict[str, Shown] = {
    # What data and monitors bring.
    "new data, better: a better model": Shown([push()], "better data -> dev done, test done, waits for an approval"),
    "new data, worse: the model that was there": Shown(
        [push("worse data")], "worse data -> dev done.*\n +dev green=v10"
    ),
    "new data, shifted": Shown([monitor("drift, and newer data is there")], "-> dev done.*the champion stays"),
    "new data, broken": Shown([push("broken data")], "-> training: job .* ended as Failed"),
    "drift": Shown([monitor("drift for weeks")], "finds drift for weeks -> the champion stays"),
    "drift that is told late": Shown([monitor("drift, told late")], "told late -> no training; the champion stays"),
    "no drift": Shown([monitor("no drift")], "finds no drift -> no training; no training; no training"),
    "false drift: there is no data": Shown([monitor("no data")], "finds no data -> no training"),
    "false drift: the model stays": Shown([monitor("drift")], f"drift -> the champion stays.*\n.*{STAYS}"),
    "daylight saving begins, and a month ends": Shown(
        [*[WEEK] * 7, monitor("drift for weeks")], "25 Mar.*\n.*\n19 Apr"
    ),
    "daylight saving ends": Shown([*[WEEK] * 37, monitor("drift for weeks")], "21 Oct.*\n.*\n15 Nov"),
    # Trainings, and the models that come of them.
    "retraining by schedule": Shown([WEEK], "the weekly training -> the champion stays"),
    "retraining by alert": Shown([monitor("drift, and newer data is there")], "newer data is there -> dev done"),
    "retraining by hand": Shown([("train_by_hand", {"trouble": None})], "a training by hand -> dev done"),
    "a model without predictions": Shown([push("better data, whose model gives no predictions")], "was not deployed"),
    "a model that fails under load": Shown(
        [push("better data, whose model fails under load")], r"11 was not deployed, green still has all traffic: \d+ of"
    ),
    "a model that is damaged on its way": Shown(
        [push("better data, whose model is damaged on its way")], "is not the model"
    ),
    # Two at once, and what goes wrong at a call.
    **{
        f"two runs at once: a delivery and a {other}": together(other) for other in ("delivery", "rollback", "teardown")
    },
    **{
        f"at a call: {text.format('N')}": Shown(
            [push(), approve(0, Trouble(kind, 16))], f"{text.format(16)} -> {HOW.get(kind, 'prod: version 11 was not')}"
        )
        for kind, text in KINDS.items()
    },
    # Approvals, and what runs again.
    "an approval that is late: a newer model serves": Shown(
        [push(), push(), approve(1), approve()], "version 11 -> prod: prod serves version 12, which is newer"
    ),
    "an approval that is rejected": Shown(
        [push(), ("refuse", {"which": 0, "expired": False})], f"rejected by a person.*\n.*{STAYS}"
    ),
    "an approval that expires": Shown(
        [push(), ("refuse", {"which": 0, "expired": True})], f"04 Feb: .*not approved in 30 days.*\n.*{STAYS}"
    ),
    "a half-done run, again": Shown(
        [push(), approve(0, Trouble("killed", 16)), again("run_again")],
        "blue=v11:10%\n.*runs again in prod -> prod done\n.*prod blue=v11:100%",
    ),
    "a half-done run, its failed jobs again": Shown(
        [push("better data", Trouble("refused", 1)), again("run_failed_jobs_again")],
        "-> train: .*\n.*\n.* run again -> dev done",
        by_pipelines=True,
    ),
    "a finished run, again": Shown(
        [deliver("--force", 0, "dev"), push(), again("run_all_jobs_again")],
        "all jobs of run 3 of deliver run again -> .*look: dev serves version 11, which is newer",
        by_pipelines=True,
    ),
    # What people do about models.
    "rollback": Shown([push(), approve(), roll_back("prod")], "a rollback in prod -> done\n.*prod green=v10:100%"),
    "rollback of a canary": Shown(
        [push(), approve(0, Trouble("killed", 16)), roll_back("prod")],
        r"a rollback in prod -> done\n.*prod green=v10:100%$",
    ),
    "rollback to a named version": Shown(
        [push(), approve(), roll_back("prod", 2)], "version 9 -> done\n.*prod green=v9"
    ),
    "a rejection that is taken back": Shown(
        [roll_back("dev"), ("accept", {"which": 0}), deliver("", 0, "dev")],
        r"10 is accepted in dev again -> done\n.*\n.*version 10 to dev by hand +-> dev done",
    ),
    "pin and unpin": Shown(
        [deliver("--pin", 1), push(), approve(), deliver("--unpin")],
        "--pin -> prod done(.*\n)*.*prod stays as it is(.*\n)*.*--unpin -> prod done\n.*prod green=v11",
    ),
    "hold": Shown(
        [("leave_unfinished", {"which": 1, "lost": None}), ("end_hold", {"shift": True})],
        "--hold -> test stays as it is.*\n.*blue=v10:0%.*\n.*blue in test all traffic -> done\n.*blue=v10:100%",
    ),
    "a person registers a model": Shown(
        [in_the_studio(0), ("train_by_hand", {"trouble": None})],
        "registers a model in dev -> done(.*\n)*.*dev blue=v12",
    ),
    "a model past the workflows": Shown(
        [("deploy_by_hand", {"environment": "prod", "which": 1, "part": "batch", "trouble": None})],
        "version 9 is put behind the batch endpoint of prod by hand -> done",
    ),
    # What changes beside the model.
    "a changed scoring script": Shown([push("other code")], "other code -> dev done, test done"),
    "a changed environment": Shown([push("other packages")], "other packages -> dev done, test done"),
    "a changed size": Shown([push("more machines")], "more machines -> dev done, test done"),
    "an update of the template, in the definitions": Shown([push("a newer template")], "newer template -> dev done"),
    "an update of the template, as a pull request": Shown(
        [update(released=True, merged=False), update(released=False, merged=True)],
        "an issue is open(.*\n)*.*nothing is left",
        by_pipelines=True,
    ),
    "a change of the infrastructure": Shown(
        [build("approved")],
        "an apply for prod is approved -> applied",
        by_pipelines=True,
    ),
    "a change of the infrastructure that is approved after a newer one": Shown(
        [build("late"), build("approved"), again("apply_later")],
        r"change 1 for prod.* is approved late -> run \d+ is newer than this one",
        by_pipelines=True,
    ),
    "a change of the infrastructure, all its jobs again after a newer one": Shown(
        [build("approved"), build("approved"), again("apply_later")],
        r"change 1 for prod.* runs again, all its jobs -> run \d+ is newer than this one",
        by_pipelines=True,
    ),
    "an endpoint deleted by hand": Shown([in_the_studio(1), push("other code")], "dev - .*\n.*\n.*dev blue=v10:100%"),
    "a deployment deleted by hand": Shown(
        [("leave_unfinished", {"which": 0, "lost": None}), in_the_studio(1)],
        r"deletes the deployment blue of dev, which has no traffic -> done\n +dev green=v10:100% \|",
    ),
    "a monitor deleted by hand": Shown([in_the_studio(4), push(), approve()], "deletes the monitor of prod -> done"),
    "an environment torn down": Shown(
        [again("tear_down"), push()], "dev are torn down -> done\n.*dev -(.*\n)*.*dev blue="
    ),
    "an environment added, and removed": Shown(
        [CHANGE, push(), CHANGE], "stage done, waits for an approval(.*\n)*.*stage is torn down and removed -> done"
    ),
    "an environment added to the pipelines, and removed": Shown(
        [CHANGE, push(), CHANGE],
        "stage done, waits for an approval(.*\n)*.*stage is torn down and removed -> done",
        by_pipelines=True,
    ),
}
"""Each kind of event that the issue about the year names, and more."""

PROMISES: dict[str, tuple[str, ...]] = {
    "what serves in a protected environment was approved, by hash": (
        "production takes what is newest",
        "the hash that a person typed does not count",
        "no environment has an approval",
    ),
    "one alert starts one training": (
        "each look has a name of its own",
        "the newest alert has the name",
        "an alert trains under any name",
        "a monitor trains twice",
    ),
    "a rejected version never returns by itself": ("a rejection counts for nothing", "a rollback rejects nothing"),
    "after a step that fails or is cancelled, the old deployment has all traffic": (
        "the end of a rollout leaves the traffic",
        "the end of a rollout keeps the new one",
        "a cancelled delivery leaves its canary",
        "a cancelled stage leaves its canary",
    ),
    "traffic adds up": ("the canary has traffic that the old one keeps",),
    "no request fails while a healthy deployment is there": (
        "nothing has traffic at the end of a rollout",
        "a failed smoke test goes on",
        "no smoke test",
    ),
    "no version and no decision is lost": (
        "the end of a rollback takes the rejection back",
        "an approved version is dropped",
        "an approved stage is dropped",
    ),
    "the champion is never worse than the model before it": (
        "any model takes the place of the champion",
        "a model is compared with the oldest one",
    ),
    "repeating any verb changes nothing": (
        "everything is deployed again and again",
        "a rollback that is repeated goes further back",
        "data is created again",
    ),
    "in the end all is as the inputs call for": (
        "what an interrupted rollout left stays",
        "a teardown forgets the monitor",
        "new data is not used",
    ),
}
"""Each promise that the issue names, and errors that break it."""
