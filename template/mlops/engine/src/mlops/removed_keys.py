"""Keys of `config/<environment>.yml` that a release removed, with what each of them is now.

Without an entry here the error for an old key is "unknown key", and a user who follows it deletes the line.
"""

from typing import NamedTuple

from mlops.project import AddOn


class RemovedKey(NamedTuple):
    """A key that is refused.

    Attributes:
        release: The first one without the key.
        now: What it is now, as the end of a sentence.
        consequence: What happens to an environment whose file has lost the key and got nothing instead.
        add_on: The add-on that it is now, if it is one.
        unless: With this value the key can be deleted, and nothing changes.
    """

    release: str
    now: str
    consequence: str
    add_on: AddOn | None = None
    unless: object = None


REMOVED_KEYS = {
    "security.public_network_access": RemovedKey(
        release="v0.3.0",
        now="an environment is closed to the internet by the add-on private-network and open without it",
        consequence="without the add-on, deleting this key opens the environment to the internet",
        add_on="private-network",
        unless=True,
    ),
    "schedule.retrain_cron": RemovedKey(
        release="v0.5.0",
        now="the only schedule of retraining is the line `cron` in train.yml, the file of the workflow that trains, in "
        "UTC: write the time there and delete this key",
        consequence="the next `mlops train` deletes the schedule that was made of this key in Azure ML",
    ),
}
"""By the path of the key, with dots between its parts."""
