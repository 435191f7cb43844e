"""Hadoop's S3A connector, for cells that read a bucket with Spark's own DataFrames on a laptop.

The stages do without it, since their tasks read and write with ``storage``. A cluster has its own.
"""

from helpers.storage.endpoint import read_endpoint

PACKAGE = "org.apache.hadoop:hadoop-aws"

_SETTINGS = {
    "fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    # Otherwise each write deletes its "folders", which servers that keep keys as files refuse.
    "fs.s3a.directory.marker.retention": "keep",
    # By default a wrong endpoint is tried for minutes.
    "fs.s3a.attempts.maximum": "3",
    "fs.s3a.retry.limit": "3",
    "fs.s3a.connection.establish.timeout": "3000",
    "fs.s3a.connection.timeout": "20000",
}


def make_options() -> dict[str, str]:
    """Make Spark's options: ``s3://`` as ``s3a://``, AWS_ENDPOINT_URL, bounded retries.

    Raises
    ------
    ValueError
        If the endpoint holds a user name or a password.
    """
    settings = dict(_SETTINGS)
    endpoint = read_endpoint()
    if endpoint:
        settings |= {
            "fs.s3a.endpoint": endpoint,
            "fs.s3a.path.style.access": "true",
            "fs.s3a.connection.ssl.enabled": str(endpoint.startswith("https:")).lower(),
        }
    return {f"spark.hadoop.{name}": value for name, value in settings.items()}


def read_credentials() -> dict[str, str]:
    """Read what AWS's default chain gives, profiles included, as environment variables.

    The connector reads no profile. Options, unlike the environment, are shown and logged.

    Raises
    ------
    PermissionError
        If the chain gives none.
    """
    import boto3  # takes 0.3 s, and the module is imported with every session

    found = boto3.Session().get_credentials()
    if found is None:
        raise PermissionError("no AWS credentials found: set a profile (AWS_PROFILE) or log in")
    frozen = found.get_frozen_credentials()
    variables = {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_SESSION_TOKEN": frozen.token,
    }
    return {name: value for name, value in variables.items() if value}
