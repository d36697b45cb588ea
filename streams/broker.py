"""How clients of Kafka reach the brokers: addresses, TLS, user and password, in one place for all.

kafka-python and aiokafka take the same options by the same names.
"""

from __future__ import annotations

import ssl
from typing import Any, Final, Literal

from msgspec import Struct

from profiler.errors import ConfigurationError
from streams.secret import Secret
from streams.settings import Settings, variable

BOOTSTRAP_TIMEOUT_MS: Final = 5_000


class BrokerSecurity(Struct, frozen=True, kw_only=True):
    """What the brokers' listener asks of its clients.

    Parameters
    ----------
    protocol
        ``plaintext``, ``ssl`` (TLS) or ``sasl_ssl`` (TLS, with user and password).
    ca_file
        Authorities that vouch for the brokers, in PEM; by default the system's.
    mechanism, user, password
        Of ``sasl_ssl``.

    Examples
    --------
    >>> BrokerSecurity().options()
    {}
    """

    protocol: Literal["plaintext", "ssl", "sasl_ssl"] = "plaintext"
    ca_file: str = ""
    mechanism: str = ""
    user: str = ""
    password: Secret = Secret("")

    def options(self) -> dict[str, Any]:
        """Options of a client of kafka-python or aiokafka, the password in the clear.

        Raises
        ------
        ConfigurationError
            If the authorities cannot be read.
        """
        if self.protocol == "plaintext":
            return {}
        options = {"security_protocol": self.protocol.upper(), "ssl_context": self.ssl_context()}
        if self.protocol == "ssl":
            return options
        return {
            **options,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password.reveal(),
        }

    def ssl_context(self) -> ssl.SSLContext:
        """Certificates are verified, and must name the host that was asked for.

        Raises
        ------
        ConfigurationError
            If the authorities cannot be read.
        """
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as fault:  # among them: the file holds no certificate
            raise ConfigurationError(
                variable("broker_ca_file"), f"cannot use {self.ca_file}: {fault.strerror or fault}"
            ) from fault


PLAINTEXT: Final = BrokerSecurity()


def security_of(settings: Settings) -> BrokerSecurity:
    """What the settings say of it."""
    return BrokerSecurity(
        protocol=settings.broker_security,
        ca_file=settings.broker_ca_file,
        mechanism=settings.broker_sasl_mechanism,
        user=settings.broker_user,
        password=settings.broker_password,
    )


def client_options(settings: Settings) -> dict[str, Any]:
    """Give the options with which a client of kafka-python connects.

    Raises
    ------
    ConfigurationError
        If the authorities cannot be read.
    """
    return {
        "bootstrap_servers": settings.brokers.split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        **security_of(settings).options(),
    }
