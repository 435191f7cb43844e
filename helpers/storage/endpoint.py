"""The server that speaks S3, where it is not Amazon's."""

import os
from urllib.parse import urlsplit


def read_endpoint() -> str | None:
    """Read AWS_ENDPOINT_URL_S3 or else AWS_ENDPOINT_URL; None where neither is set.

    Raises
    ------
    ValueError
        If it holds a user name or a password: messages and Spark's options show an endpoint.
    """
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        endpoint = os.environ.get(name)
        if endpoint:
            if "@" in urlsplit(endpoint).netloc:
                raise ValueError(f"{name} must hold no user name and no password")
            return endpoint
    return None
