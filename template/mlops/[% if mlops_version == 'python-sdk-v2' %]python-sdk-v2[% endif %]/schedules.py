"""The schedule of the monitor of the online deployment. Training is scheduled by the workflow that trains."""

from azure.ai.ml import Input
from azure.ai.ml.entities import (
    AlertNotification,
    BaselineDataRange,
    CategoricalDriftMetrics,
    CronTrigger,
    DataDriftMetricThreshold,
    DataDriftSignal,
    DataQualityMetricsCategorical,
    DataQualityMetricsNumerical,
    DataQualityMetricThreshold,
    DataQualitySignal,
    MonitorDefinition,
    MonitoringTarget,
    MonitorSchedule,
    NumericalDriftMetrics,
    PredictionDriftMetricThreshold,
    PredictionDriftSignal,
    ProductionData,
    ReferenceData,
    ServerlessSparkCompute,
)

from mlops.config import DriftRules, EnvironmentConfig

# For a kind of feature without thresholds in config/model.yml.
NUMERICAL, CATEGORICAL = {"normalized_wasserstein_distance": 0.2}, {"jensen_shannon_distance": 0.2}


def monitor(config: EnvironmentConfig, name: str, deployment: str, task: str, drift: DriftRules) -> MonitorSchedule:
    """Return the monitor of an online deployment: have its inputs or predictions drifted?

    Args:
        config: The environment of the deployment.
        name: Name of the schedule.
        deployment: Name of the deployment.
        task: "regression" or "classification".
        drift: The thresholds of config/model.yml, and the features of data/schema.yml.
    """
    endpoint = config.names.online_endpoint
    days = f"P{config.monitor.lookback_days}D"

    # The last days against those before. Both come from the collector, so they have the same columns and no asset has
    # to be prepared; all deployments collect into the same one, so a rollout leaves no gap. Slow drift away from the
    # training data appears in the training report instead.
    def latest(context: str) -> ProductionData:
        return ProductionData(
            input_data=Input(type="uri_folder", path=f"azureml:{config.collection_name(context)}:1"),
            data_context=context,
            data_window=BaselineDataRange(lookback_window_size=days, lookback_window_offset="P0D"),
        )

    def before(context: str) -> ReferenceData:
        return ReferenceData(
            input_data=Input(type="uri_folder", path=f"azureml:{config.collection_name(context)}:1"),
            data_context=context,
            data_window=BaselineDataRange(lookback_window_size=days, lookback_window_offset=days),
        )

    numerical = NumericalDriftMetrics(**drift.thresholds.get("numerical", NUMERICAL))
    categorical = CategoricalDriftMetrics(**drift.thresholds.get("categorical", CATEGORICAL))
    signals = {
        "data_drift": DataDriftSignal(
            production_data=latest("model_inputs"),
            reference_data=before("model_inputs"),
            features=drift.features,
            metric_thresholds=DataDriftMetricThreshold(numerical=numerical, categorical=categorical),
            alert_enabled=True,
        ),
        "prediction_drift": PredictionDriftSignal(
            production_data=latest("model_outputs"),
            reference_data=before("model_outputs"),
            metric_thresholds=PredictionDriftMetricThreshold(numerical=numerical, categorical=categorical),
            alert_enabled=True,
        ),
        "data_quality": DataQualitySignal(
            production_data=latest("model_inputs"),
            reference_data=before("model_inputs"),
            features="all_features",
            metric_thresholds=DataQualityMetricThreshold(
                numerical=DataQualityMetricsNumerical(
                    null_value_rate=0.05, data_type_error_rate=0.01, out_of_bounds_rate=0.05
                ),
                categorical=DataQualityMetricsCategorical(
                    null_value_rate=0.05, data_type_error_rate=0.01, out_of_bounds_rate=0.05
                ),
            ),
            alert_enabled=True,
        ),
    }
    emails = config.monitor.alert_emails
    return MonitorSchedule(
        name=name,
        display_name="Model monitor",
        description="Data drift, prediction drift and data quality of the online deployment.",
        # Windows names, as in "W. Europe Standard Time": they follow daylight saving time.
        trigger=CronTrigger(expression=config.schedule.monitor_cron, time_zone=config.schedule.time_zone),
        create_monitor=MonitorDefinition(
            # Serverless Spark: no cluster of the project. The monitoring components are built for runtime 3.4.
            compute=ServerlessSparkCompute(instance_type=config.monitor.vm, runtime_version="3.4"),
            monitoring_target=MonitoringTarget(ml_task=task, endpoint_deployment_id=f"azureml:{endpoint}:{deployment}"),
            monitoring_signals=signals,
            # "azmonitoring" sends the metrics to Azure Monitor. `mlops drift` reads the runs in either case.
            alert_notification=AlertNotification(emails=list(emails)) if emails else "azmonitoring",
        ),
    )
