"""Errors seeded into the verbs, the workflows and the pipelines: each has to break a promise of the year soon."""

from typing import NamedTuple


class Bug(NamedTuple):
    """A change of the text of a module, a workflow or a pipeline, and what the violation that it leads to says.

    A module is one of the engine, or one of the project, such as `science/core.promotion`.
    """

    module: str
    old: str
    new: str
    breaks: str
    way: str = ""
    """What has to run the verbs: by default the system whose file it is, or none."""

    def in_text(self, text: str) -> str:
        """Return the text with the error."""
        assert text.count(self.old) == 1, f"{self.module} has this {text.count(self.old)} times: {self.old}"
        return text.replace(self.old, self.new)


BUGS = {
    # The rollout.
    "a failed smoke test goes on": Bug(
        "verbs.rollout", "Step.SMOKE_TEST: Step.REMOVE_NEW,", "Step.SMOKE_TEST: Step.CANARY,", "get no predictions"
    ),
    "no smoke test": Bug("verbs.rollout", "Step.CREATE: Step.SMOKE_TEST,", "Step.CREATE: Step.CANARY,", ""),
    "the old deployment is never removed": Bug(
        "verbs.rollout", "Step.FULL: Step.REMOVE_OLD,", "Step.FULL: Step.DONE,", "a deployment is left"
    ),
    "what an interrupted rollout left stays": Bug("verbs.rollout", "return bool(plan.leftovers)", "return False", ""),
    "a hold is forgotten": Bug(
        "verbs.rollout", "if step is Step.SMOKE_TEST and plan.hold:", "if False:", "although the delivery was held"
    ),
    "the canary gets all traffic": Bug(
        "verbs.rollout", "{self.old: 100 - self.canary_percent, self.new: self.canary_percent}", "{self.new: 100}", ""
    ),
    "changed code is not deployed": Bug("verbs.online", "if old.fingerprint != content:", "if False:", "should have"),
    "everything is deployed again and again": Bug(
        "verbs.online", "if old and not changes and not force:", "if False:", "once more changes something"
    ),
    "the time of a deployment is not noted": Bug(
        "verbs.models",
        "    if not is_last(session, model, models):",
        "    if False:",
        "something is to be done",
    ),
    # The choice of the model.
    "a rejection counts for nothing": Bug(
        "verbs.models", 'if is_set(model, f"rejected_{environment}"):', "if False:", "although it was rejected"
    ),
    "what was not promoted is taken": Bug(
        "verbs.models",
        'if model.registry and f"promoted_{environment}" not in model.tags:',
        "if False:",
        "was not promoted",
    ),
    "versions are compared as text": Bug(
        "verbs.models", "return int(model.version) if model.version.isdigit() else -1", "return model.version", ""
    ),
    "a copy that is there is made again": Bug("verbs.models", "if copy is None or session.dry_run:", "if True:", ""),
    "the next environment is passed over": Bug(
        "verbs.delivery",
        "environment, target = session.config.environment, session.config.delivery.next",
        "environment, target = session.config.environment, 'prod'",
        "",
    ),
    # Deliveries.
    "production takes what is newest": Bug(
        "verbs.models", "if session.config.protected and not (version and sha256):", "if False:", "changed something"
    ),
    "a stale run goes back": Bug(
        "verbs.candidate", "if endpoint.serving and not options.pin:", "if False:", "without a pin"
    ),
    "a pin counts for nothing": Bug(
        "verbs.candidate", "if others and not (options.pin or options.unpin)", "if False", "was pinned to"
    ),
    "the batch endpoint is forgotten": Bug(
        "verbs.delivery", "    score_files_with(session, model)\n", "", "its batch endpoint"
    ),
    "the monitor is forgotten": Bug("verbs.delivery", "    monitor(session)\n", "", "something is to be done"),
    "every environment is watched": Bug(
        "verbs.schedules", "if not session.config.monitor.enabled:", "if False:", "something is to be done"
    ),
    "old batch deployments stay": Bug(
        "verbs.batch", "for name in names if name != own and", "for name in names if False and", "its batch endpoint"
    ),
    "a run that waited brings its code back": Bug(
        "verbs.models",
        "for made, run, version in notes if is_newer(run, run_key())",
        "for made, run, version in ()",
        "went back to the code",
    ),
    "a run that is run again brings its code with a new version": Bug(
        "verbs.candidate",
        "in (model.version, serving) or since(session, each)",
        "in (model.version,)",
        "went back to the code",
        "github",
    ),
    "a rollback makes an older run a newer one": Bug(
        "verbs.candidate", " or since(session, each)]", "]", "went back to the code"
    ),
    # The look before an approval.
    "a look does not see other code": Bug(
        "verbs.online",
        "changes = _changes(old, model, fingerprint(session.project, session.config))",
        "changes = ()",
        "a look called complete",
    ),
    "a look asks for an approval although nothing is left to do": Bug(
        "verbs.candidate", "if monitor_left(session):", "if True:", "something is to be done"
    ),
    "a look does not see that a monitor is off": Bug(
        "verbs.schedules",
        "if is_on is not (True if enabled else None):",
        "if enabled == (is_on is None):",
        "a look called complete",
    ),
    "a monitor that is off stays so": Bug(
        "verbs.schedules",
        "    if not is_on:",
        "    if False:",
        "something is to",
    ),
    # The way back.
    "a rollback rejects nothing": Bug(
        "verbs.recovery", "    _reject(session, bad, leaving_for=target.version)\n", "", "is not rejected"
    ),
    "a rollback forgets the batch endpoint": Bug(
        "verbs.recovery", "is_there = _is_behind_batch(session, bad)", "is_there = False", "behind the batch endpoint"
    ),
    "a rollback goes to the newest": Bug(
        "verbs.recovery",
        "if last := last_served(session, models):",
        "if last := max(models, key=number, default=None):",
        "",
    ),
    "the end of a rollout keeps the new one": Bug(
        "verbs.recovery",
        "kept, new = rollout.unfinished(traffic, list(endpoint.deployments))\n    if new",
        "new, kept = rollout.unfinished(traffic, list(endpoint.deployments))\n    if new",
        "",
    ),
    "the end of a rollout leaves the traffic": Bug(
        "verbs.recovery", "if kept is not None and traffic.get(kept) != 100:", "if False:", ""
    ),
    "a teardown forgets the batch endpoint": Bug(
        "verbs.removal",
        "if backend.batch_default() is not None:\n        backend",
        "if False:\n        backend",
        "left after the teardown",
    ),
    "a teardown forgets the monitor": Bug(
        "verbs.removal",
        "remove_schedules(session, session.retraining_name, session.monitor_name)",
        "remove_schedules(session, session.retraining_name)",
        "left after the teardown",
    ),
    # The closed loop.
    "each look has a name of its own": Bug(
        "verbs.drift",
        "sha256(run.name.encode())",
        "sha256(str(session.backend.story.people.time).encode())",
        "trainings",
    ),
    "the newest alert has the name": Bug(
        "verbs.drift", "return list(takewhile(", "return series[0] or list(takewhile(", "trainings"
    ),
    "missing data is drift": Bug("verbs.drift", 'verdict = "no data"', 'verdict = "drift"', "trainings"),
    "an alert is read too soon": Bug("verbs.drift", "if breaches:", "if breaches and False:", "trainings"),
    "new data is not used": Bug("verbs.data", "return content.hexdigest()[:16]", "return 'always-the-same'", ""),
    "data is created again": Bug("verbs.data", "version in session.backend.data_versions(asset.name)", "False", ""),
    # The promises that no error above breaks.
    "the canary has traffic that the old one keeps": Bug(
        "verbs.rollout",
        "{self.old: 100 - self.canary_percent, self",
        "{self.old: 100, self",
        "although nothing is wrong",
    ),
    "nothing has traffic at the end of a rollout": Bug(
        "verbs.rollout",
        "            return {self.new: 100}\n",
        "            return {self.new: 0 if self.old else 100}\n",
        "no deployment has traffic",
    ),
    "a rollback that is repeated goes further back": Bug(
        "verbs.recovery",
        "    if left:\n        # A version",
        "    if left and not bad:\n        # A version",
        "when it is repeated",
    ),
    "the end of a rollback takes the rejection back": Bug(
        "verbs.recovery",
        'tag_model(model, {tag: "false"})\n        session.say(f"{state}',
        'tag_model(model, {tag: "false", f"rejected_{environment}": "false"})\n        session.say(f"{state}',
        "is lost",
    ),
    "any model takes the place of the champion": Bug(
        "science/core.promotion",
        "good = all(math.isfinite(gain) and gain > policy.minimum_gain for gain in (interval.gain, interval.lower))",
        "good = True",
        "takes the place of version",
    ),
    "a model is compared with the oldest one": Bug(
        "science/core.champion",
        "return max(kept, key=lambda version: int(version.version), default=None)",
        "return min(kept, key=lambda version: int(version.version), default=None)",
        "takes the place of version",
    ),
    # The workflows.
    "an approved version is dropped": Bug(
        "workflows/deliver-environment.yml",
        "group: deliver-${{ inputs.environment }}\n      cancel-in-progress: false\n      queue: max\n",
        "group: deliver-${{ inputs.environment }}\n      cancel-in-progress: false\n",
        "would be dropped",
    ),
    "a delivery is skipped because one before it was": Bug(
        "workflows/deliver-environment.yml",
        "if: ${{ !cancelled() && needs.look.result == 'success' && needs.look.outputs.deliver == 'true' }}",
        "if: needs.look.outputs.deliver == 'true'",
        "goes to",
    ),
    "deliveries run beside each other": Bug(
        "workflows/deliver-environment.yml",
        "group: deliver-${{ inputs.environment }}",
        "group: deliver-${{ inputs.model-version }}",
        "run beside each other",
    ),
    "a cancelled delivery leaves its canary": Bug(
        "workflows/deliver-environment.yml", "if: (cancelled() || failure()) &&", "if: failure() &&", "0 last steps"
    ),
    "a delivery is not told the hash": Bug(
        "workflows/deliver-environment.yml",
        '--environment "$ENVIRONMENT" --model-version "$MODEL_VERSION" --sha256 "$SHA256"',
        '--environment "$ENVIRONMENT" --model-version "$MODEL_VERSION"',
        "although nothing is wrong",
    ),
    "what a person typed does not count": Bug(
        "workflows/deliver.yml",
        "sha256: ${{ inputs.sha256 || steps.models.outputs.sha256 }}",
        "sha256: ${{ steps.models.outputs.sha256 }}",
        "with another hash",
    ),
    "an option counts for each environment": Bug(
        "workflows/deliver.yml",
        "option: ${{ inputs.environment == 'test' && inputs.option || '' }}",
        "option: ${{ inputs.option }}",
        "was approved",
    ),
    "a model goes on that stays": Bug(
        "workflows/deliver.yml", "(inputs.environment == 'prod' ||", "(inputs.environment != '' ||", "looks at prod"
    ),
    "an alert trains under any name": Bug(
        "workflows/monitor.yml", "job: ${{ needs.drift.outputs.job }}", 'job: ""', "trainings"
    ),
    "the same version is approved again and again": Bug(
        "workflows/train.yml",
        "needs.train.outputs.registered == 'true' && needs.train.outputs.started == 'true'",
        "needs.train.outputs.registered == 'true'",
        "is delivered",
    ),
    "data starts no training": Bug("workflows/train.yml", "data-science/**, data/**,", "", "starts no training"),
    "a repeated rollback forgets where it began": Bug(
        "workflows/rollback.yml", "BAD: ${{ needs.look.outputs.bad }}", 'BAD: ""', "the last step of a failed run"
    ),
    "a teardown has the rights of dev": Bug(
        "workflows/teardown.yml",
        "timeout-minutes: 240\n    environment: ${{ inputs.environment }}",
        "timeout-minutes: 240\n    environment: dev",
        "runs a verb in",
    ),
    "a rollback has the group of deliveries": Bug(
        "workflows/rollback.yml",
        "group: rollback-${{ inputs.environment }}",
        "group: deliver-${{ inputs.environment }}",
        "waits for a delivery",
    ),
    # The pipelines of Azure DevOps.
    "a cancelled stage leaves its canary": Bug(
        "pipelines/templates/change.yml", "and(or(failed(), canceled()),", "and(failed(),", "0 last steps"
    ),
    "a stage does not say that it has begun": Bug(
        "pipelines/templates/azure.yml",
        '        echo "##vso[task.setvariable variable=begun]true"\n',
        "",
        "0 last steps",
    ),
    "an approved stage is dropped": Bug(
        "pipelines/templates/change.yml", "    lockBehavior: sequential\n", "", "would be dropped"
    ),
    "no environment has a lock": Bug(
        "orchestration.azure_devops.steps",
        "(BRANCHES, *((APPROVAL,) if approved else ()), LOCK)",
        "(BRANCHES, *((APPROVAL,) if approved else ()))",
        "run beside each other",
    ),
    "no environment has an approval": Bug(
        "orchestration.azure_devops.steps", "(APPROVAL,) if approved else ()", "", "without an approval"
    ),
    "a stage waits for the approval of dev": Bug(
        "pipelines/templates/change.yml",
        "environment: ${{ variables.project }}-${{ parameters.environment }}${{ parameters.suffix }}",
        "environment: ${{ variables.project }}-dev${{ parameters.suffix }}",
        "does not wait for its approval",
    ),
    "a stage signs in as dev": Bug(
        "pipelines/templates/change.yml",
        "connection: ${{ parameters.environment }}\n                    name: ${{ parameters.step }}",
        "connection: dev\n                    name: ${{ parameters.step }}",
        "signs in as",
    ),
    "a look may change what it looks at": Bug(
        "pipelines/templates/look.yml",
        "connection: ${{ parameters.environment }}-read",
        "connection: ${{ parameters.environment }}",
        "does not wait for its approval",
    ),
    "a rollback has the lock of deliveries": Bug(
        "pipelines/rollback.yml",
        "suffix: -rollback # a lock of its own, so that it need not wait for a delivery",
        'suffix: ""',
        "does not wait for its approval",
    ),
    "a stage is skipped because one before it was": Bug(
        "pipelines/templates/delivery-environment.yml",
        "and(not(canceled()),\n            in(dependencies.${{",
        "and(succeeded(),\n            in(dependencies.${{",
        "goes to",
    ),
    "the hash comes from another output": Bug(
        "pipelines/templates/delivery-environment.yml",
        "default: $[ stageDependencies.choose.choose.outputs['models.sha256'] ]",
        "default: $[ stageDependencies.choose.choose.outputs['models.hash'] ]",
        "without its hash",
    ),
    "an output has the name of a plain job": Bug(
        "pipelines/templates/delivery.yml",
        "eq(dependencies.test.outputs['test.test.deliver.next'], 'prod')",
        "eq(dependencies.test.outputs['test.deliver.next'], 'prod')",
        "does not understand",
    ),
    "a stage delivers without the hash": Bug(
        "pipelines/templates/delivery-environment.yml",
        """--environment "$ENVIRONMENT" --model-version "$MODEL_VERSION" --sha256 "$SHA256"
            ${OPTION:+"$OPTION"}
          #""",
        """--environment "$ENVIRONMENT" --model-version "$MODEL_VERSION"
            ${OPTION:+"$OPTION"}
          #""",
        "although nothing is wrong",
    ),
    "the hash that a person typed does not count": Bug(
        "pipelines/deliver.yml",
        "sha256: ${{ parameters.sha256 }}",
        'sha256: ""',
        "with another hash",
    ),
    "an option counts for each stage": Bug(
        "pipelines/templates/delivery.yml",
        """      ${{ if eq(parameters.environment, 'test') }}:
        option: ${{ parameters.option }}""",
        "      option: ${{ parameters.option }}",
        "was approved",
    ),
    "a model goes on from a stage where it stays": Bug(
        "pipelines/templates/delivery.yml",
        "- eq('${{ parameters.environment }}', 'prod')",
        "- ne('${{ parameters.environment }}', '')",
        "and not at ''",
    ),
    "a monitor trains twice": Bug(
        "pipelines/monitor.yml", "job: $[ stageDependencies.drift.drift.outputs['drift.job'] ]", 'job: ""', "trainings"
    ),
    "a monitor trains without drift": Bug(
        "pipelines/monitor.yml",
        "and(succeeded(), eq(dependencies.drift.outputs['drift.drift.retrain'], 'true'))",
        "succeeded()",
        "",
    ),
    "a schedule asks for the same approval again and again": Bug(
        "pipelines/templates/training.yml",
        "eq(dependencies.train.outputs['train.train.train.started'], 'true')",
        "true",
        "is delivered",
    ),
    "a stage does not know that it is repeated": Bug(
        "pipelines/templates/training.yml", "isOutput=true]$SYSTEM_STAGEATTEMPT", "isOutput=true]1", "not delivered"
    ),
    "data starts no pipeline": Bug(
        "pipelines/train.yml", "include: [data-science, data,", "include: [data-science,", "starts no training"
    ),
    "a script runs beside the code": Bug(
        "pipelines/templates/training.yml",
        """machine is started
          workingDirectory: $(Build.SourcesDirectory)
""",
        """machine is started
""",
        "waits for an approval",
    ),
    "the token of the run is not handed on": Bug(
        "pipelines/templates/delivery-environment.yml",
        """                    ENVIRONMENT: ${{ parameters.environment }}
                    SYSTEM_ACCESSTOKEN: $(System.AccessToken)
""",
        """                    ENVIRONMENT: ${{ parameters.environment }}
""",
        "ran no verb",
    ),
    "a repeated stage forgets where it began": Bug(
        "pipelines/rollback.yml", "BAD: $(bad)", 'BAD: ""', "the last step of a failed run"
    ),
    "a stage has a minute": Bug(
        "pipelines/templates/change.yml",
        "  - name: timeout\n    type: number\n    default: 120",
        "  - name: timeout\n    type: number\n    default: 1",
        "out of time",
    ),
    # The workflows that build, and that look for updates.
    "a plan changes something": Bug(
        "workflows/infrastructure.yml",
        "if: needs.plan.outputs.azure == 'true' && inputs.action != 'plan'",
        "if: needs.plan.outputs.azure == 'true'",
        "would be applied",
    ),
    "infrastructure is changed without an approval": Bug(
        "workflows/infrastructure.yml",
        "environment: ${{ inputs.environment || 'dev' }}\n    # One change at a time",
        "environment: dev\n    # One change at a time",
        "is changed as",
    ),
    "infrastructure is changed beside its teardown": Bug(
        "workflows/infrastructure.yml", "group: infrastructure-", "group: apply-", "beside a teardown"
    ),
    "what a plan shows is done at once": Bug(
        "workflows/infrastructure.yml", "--plan --deployer workflows --summary .local/plan.md\n", "\n", "no right to"
    ),
    "an update is pushed again each week": Bug(
        "workflows/template-update.yml",
        '          git ls-remote --exit-code --heads origin "$BRANCH" && exit\n',
        "",
        "pushed again",
    ),
    "each week opens a pull request": Bug(
        "workflows/template-update.yml", '          gh pr view "$BRANCH" ||\n', "", "pull requests for one release"
    ),
    "code of a release has a token": Bug(
        "workflows/template-update.yml",
        "    permissions:\n      contents: read\n    outputs:",
        "    permissions:\n      contents: read\n      issues: write\n    outputs:",
        "where there is a token",
    ),
    "an older run builds over a newer one": Bug(
        "subscription.order", "if is_newer(last, run):", "if False:", "went back from change", "github"
    ),
    # The pipelines of Azure DevOps that do.
    "a run that builds is not noted": Bug(
        "subscription.order", "if last != run:", "if False:", "went back from change", "azure-devops"
    ),
    "a stage applies what was only planned": Bug(
        "pipelines/infrastructure.yml",
        "and(succeeded(), or(eq('${{ parameters.action }}', 'apply'),",
        "and(succeeded(), or(eq('${{ parameters.action }}', 'apply'), eq(1, 1),",
        "would be applied",
    ),
    "what is merged is not built": Bug(
        "pipelines/infrastructure.yml", "'IndividualCI', 'BatchedCI'", "'BatchedCI'", "is not applied"
    ),
    "each stage builds dev": Bug(
        "pipelines/infrastructure.yml",
        "environment: ${{ parameters.environment }}\n      dependsOn:\n        - plan",
        "environment: dev\n      dependsOn:\n        - plan",
        "is changed as",
    ),
    "a stage builds beside a teardown": Bug(
        "pipelines/infrastructure.yml",
        "environment: ${{ parameters.environment }}\n      dependsOn:\n        - plan",
        "environment: ${{ parameters.environment }}\n      suffix: -infrastructure\n      dependsOn:\n        - plan",
        "beside a teardown",
    ),
    "a stage that plans builds": Bug(
        "pipelines/infrastructure.yml", "--plan --deployer workflows --summary .local/plan.md\n", "\n", "no right to"
    ),
    "each change of the infrastructure trains": Bug(
        "pipelines/infrastructure.yml",
        "and(succeeded(), eq(dependencies.apply.outputs['apply.apply.apply.train'], 'true'))",
        "succeeded()",
        "although there is a model",
    ),
    "no pipeline that builds may sign in": Bug(
        "orchestration.azure_devops.names",
        'CHANGING = ("infrastructure", ',
        "CHANGING = (",
        "may not use the connection",
    ),
    "a stage tears dev down": Bug(
        "pipelines/teardown.yml",
        "environment: ${{ parameters.environment }}\n      timeout: 240",
        "environment: dev\n      timeout: 240",
        "beside a teardown",
    ),
    "a branch with an update is pushed again each week": Bug(
        "pipelines/template-update.yml",
        '          git ls-remote --exit-code --heads origin "$BRANCH" && exit\n',
        "",
        "pushed again",
    ),
    "a pull request is opened each week": Bug(
        "pipelines/template-update.yml",
        '          az repos pr list "$@" --status all --query "[].pullRequestId" --output tsv | grep . ||\n',
        "",
        "pull requests for one release",
    ),
    "a branch does not say which release it has": Bug(
        "pipelines/template-update.yml",
        "dependencies.check.outputs['update.version']",
        "dependencies.check.outputs['update.release']",
        "no pull request for",
    ),
    "a job cannot push": Bug(
        "pipelines/template-update.yml",
        "persistCredentials: true",
        "persistCredentials: false",
        "fails: ['pull-request']",
    ),
    "a job cannot keep the work item": Bug(
        "pipelines/template-update.yml",
        "          SYSTEM_ACCESSTOKEN: $(System.AccessToken)\n",
        "          NAME: issue\n",
        "fails: ['issue']",
    ),
    "code of a release has the token of the run": Bug(
        "pipelines/template-update.yml",
        "        displayName: Try it in a clone\n",
        "        displayName: Try it in a clone\n        env:\n          SYSTEM_ACCESSTOKEN: $(System.AccessToken)\n",
        "where there is a token",
    ),
}
