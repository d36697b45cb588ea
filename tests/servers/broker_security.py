"""A listener of Apache Kafka with TLS, and with users and passwords where they are wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from streams.secret import Secret
from streams.settings import Settings
from tests.servers.certificates import Certificates

LISTENER: Final = "CLIENTS"
USER: Final = "profiler"
PASSWORD: Final = "pa55:w@rd/"
SCRAM: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS: Final = ("PLAIN", *SCRAM)
MODULES: Final = "org.apache.kafka.common.security"


class SecureListener:
    """What a broker has to be told so that its clients need TLS, and a password.

    Parameters
    ----------
    directory
        For certificates.
    with_password
        Lets in `USER` with `PASSWORD` alone, by any of `MECHANISMS`.
    """

    def __init__(self, directory: Path, *, with_password: bool) -> None:
        self._certificates = Certificates(directory)
        self._with_password = with_password

    @property
    def protocol(self) -> str:
        """Its protocol, as Kafka calls it."""
        return "SASL_SSL" if self._with_password else "SSL"

    @property
    def format_options(self) -> list[str]:
        """What the log has to be formatted with: users of SCRAM live in there."""
        if not self._with_password:
            return []
        users = (f"{mechanism}=[name={USER},password={PASSWORD}]" for mechanism in SCRAM)
        return [word for user in users for word in ("--add-scram", user)]

    def options(self) -> dict[str, object]:
        """Give the options of a broker."""
        own = f"listener.name.{LISTENER.lower()}"
        options: dict[str, object] = {
            f"{own}.ssl.keystore.type": "PEM",
            f"{own}.ssl.keystore.location": self._certificates.server_and_key,
        }
        if self._with_password:
            plain = f'{MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            options |= {
                f"{own}.sasl.enabled.mechanisms": ",".join(MECHANISMS),
                f"{own}.plain.sasl.jaas.config": plain,
            }
            for mechanism in SCRAM:
                module = f"{MODULES}.scram.ScramLoginModule required;"
                options[f"{own}.{mechanism.lower()}.sasl.jaas.config"] = module
        return options

    def told(self, settings: Settings, mechanism: str = MECHANISMS[-1]) -> Settings:
        """Give settings that say all that it takes to be let in."""
        ca_file = str(self._certificates.authority)
        if not self._with_password:
            return msgspec.structs.replace(settings, broker_security="ssl", broker_ca_file=ca_file)
        return msgspec.structs.replace(
            settings,
            broker_security="sasl_ssl",
            broker_ca_file=ca_file,
            broker_user=USER,
            broker_password=Secret(PASSWORD),
            broker_sasl_mechanism=mechanism,
        )
