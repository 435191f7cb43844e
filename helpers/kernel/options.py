"""Translates Livy's session fields, which ``%%configure`` takes, to Spark's options."""

from collections.abc import Mapping

from helpers.kernel.cells import CellError

#: Livy's field -> its type, and the Spark option that it sets (None if it concerns Livy alone)
_FIELDS: dict[str, tuple[type, str | None]] = {
    "driverMemory": (str, "spark.driver.memory"),
    "driverCores": (int, "spark.driver.cores"),
    "executorMemory": (str, "spark.executor.memory"),
    "executorCores": (int, "spark.executor.cores"),
    "numExecutors": (int, "spark.executor.instances"),
    "name": (str, "spark.app.name"),
    "queue": (str, "spark.yarn.queue"),
    "jars": (list, "spark.jars"),
    "pyFiles": (list, "spark.submit.pyFiles"),
    "files": (list, "spark.files"),
    "archives": (list, "spark.archives"),
    "conf": (dict, None),
    "proxyUser": (str, None),
    "heartbeatTimeoutInSecond": (int, None),
    "ttl": (str, None),
    "idleTimeout": (str, None),
}


def spark_conf(settings: Mapping[str, object]) -> dict[str, str]:
    """Translate the fields of Livy's session request.

    As in Livy, a field takes precedence over the same option in ``conf``. Fields that concern
    Livy alone have no effect.

    Raises
    ------
    CellError
        If a field is unknown or of the wrong type.
    """
    for name, value in settings.items():
        if name not in _FIELDS:
            raise CellError(f"%%configure takes {', '.join(_FIELDS)}; received {name!r}")
        kind = _FIELDS[name][0]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CellError(f"%%configure: {name} must be a JSON {_JSON[kind]}, received {value!r}")
    conf = settings.get("conf", {})
    assert isinstance(conf, dict)
    options = {key: _text(key, value) for key, value in conf.items()}
    for name, value in settings.items():
        option = _FIELDS[name][1]
        if option is not None:
            options[option] = _text(name, value)
    return options


_JSON = {str: "string", int: "whole number", list: "array of strings", dict: "object"}


def _text(name: str, value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(item, str) for item in value):
            return ",".join(value)
    raise CellError(f"%%configure: {name} must be a string or a number, received {value!r}")
