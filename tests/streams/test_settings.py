from __future__ import annotations

from pathlib import Path

import pytest

from profiler.errors import ConfigurationError
from profiler.trait_values import is_identifying
from streams.settings import (
    Secret,
    Settings,
    load_settings,
    settings_from_process,
    settings_table,
)

ROOT = Path(__file__).parents[2]
KEY = {"PROFILER_PSEUDONYM_KEY": "k" * 32}


def refusal(environ: dict[str, str]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return caught.value


def test_only_the_pseudonym_key_is_required() -> None:
    settings = load_settings(KEY)

    assert settings == Settings(pseudonym_key=Secret("k" * 32))
    assert settings.topic("events") == "profiler.events"


def test_a_missing_key_is_refused_with_what_to_do() -> None:
    error = refusal({})

    assert error.setting == "PROFILER_PSEUDONYM_KEY"
    assert "openssl rand" in error.problem


def test_a_short_key_is_refused_without_being_shown() -> None:
    error = refusal({"PROFILER_PSEUDONYM_KEY": "swordfish"})

    assert error.setting == "PROFILER_PSEUDONYM_KEY"
    assert "swordfish" not in str(error)


@pytest.mark.parametrize(
    ("given", "setting", "problem"),
    [
        ({"traits": "plan"}, "TRAITS", "name=rule"),
        ({"traits": "plan=best"}, "TRAITS", "name=rule"),
        ({"traits": "plan=recent,plan=first"}, "TRAITS", "plan twice"),
        ({"traits": "timezone=recent"}, "TRAITS", "time_zone"),
        ({"traits": ",".join(f"t{k}=first" for k in range(65))}, "TRAITS", "at most 64"),
        ({"traits": "plan=trusted"}, "TRUSTED_SOURCES", "is required"),
        ({"trusted_sources": "crm"}, "TRUSTED_SOURCES", "no effect"),
    ],
)
def test_traits_that_make_no_sense_are_refused(
    given: dict[str, str], setting: str, problem: str
) -> None:
    error = refusal(KEY | {f"PROFILER_{name.upper()}": text for name, text in given.items()})

    assert error.setting == f"PROFILER_{setting}"
    assert problem in error.problem


def test_by_default_nothing_is_kept_that_tells_who_somebody_is() -> None:
    rules = load_settings(KEY).trait_rules()

    assert {name for name in rules.by_name if is_identifying(name)} == {"email", "phone"}
    assert not rules.by_name.keys() & {"gender", "birth_year", "age", "city"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("partitions", "16", 16),
        ("commit_interval_s", "0.25", 0.25),
        ("historical_sources", "otto, rees46", ("otto", "rees46")),
        ("historical_sources", "", ()),
        ("brokers", "kafka-1:9092,[::1]:9093", "kafka-1:9092,[::1]:9093"),
        ("store_url", "rediss://h:1/0", "rediss://h:1/0"),
        ("log_format", "console", "console"),
    ],
)
def test_a_variable_is_parsed_into_its_type(name: str, text: str, value: object) -> None:
    settings = load_settings(KEY | {f"PROFILER_{name.upper()}": text})

    assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PARTITIONS", "four"),
        ("PARTITIONS", "0"),
        ("PARTITIONS", "4.5"),
        ("PARTITIONS", ""),
        ("COMMIT_INTERVAL_S", "nan"),
        ("COMMIT_INTERVAL_S", "inf"),
        ("COMMIT_INTERVAL_S", "-1"),
        ("BROKERS", "localhost"),
        ("BROKERS", "a:1 b:2"),
        ("STORE_URL", "http://h"),
        ("TOPIC_PREFIX", "a/b"),
        ("LOG_LEVEL", "loud"),
        ("WEB_PORT", "65536"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_setting(name: str, text: str) -> None:
    error = refusal(KEY | {f"PROFILER_{name}": text})

    assert error.setting == f"PROFILER_{name}"
    assert str(error).startswith(f"PROFILER_{name}: expected ")


def test_an_unknown_variable_is_refused_with_the_nearest_right_name() -> None:
    error = refusal(KEY | {"PROFILER_BROKER": "h:1"})

    assert error.setting == "PROFILER_BROKER"
    assert "PROFILER_BROKERS" in error.problem


def test_variables_of_others_and_of_the_tests_are_left_alone() -> None:
    settings = load_settings(KEY | {"HOME": "/", "PROFILER_DATA_DIR": "/data"})

    assert settings == load_settings(KEY)


def test_states_must_outlive_the_log() -> None:
    error = refusal(KEY | {"PROFILER_RETENTION_S": "7200", "PROFILER_STATE_TTL_S": "7200"})

    assert error.setting == "PROFILER_STATE_TTL_S"
    assert "PROFILER_RETENTION_S" in error.problem


def test_a_batch_must_fit_in_the_queue() -> None:
    error = refusal(KEY | {"PROFILER_BATCH_EVENTS_MAX": "10", "PROFILER_QUEUE_EVENTS_MAX": "9"})

    assert error.setting == "PROFILER_BATCH_EVENTS_MAX"


def test_a_file_is_read_and_a_variable_wins_over_it(tmp_path: Path) -> None:
    file = tmp_path / "profiler.toml"
    file.write_text(f'pseudonym_key = "{"f" * 32}"\npartitions = 8\nweb_port = 7000\n')

    settings = load_settings({"PROFILER_CONFIG": str(file), "PROFILER_WEB_PORT": "8000"})

    assert settings.partitions == 8
    assert settings.web_port == 8000
    assert settings.pseudonym_key.reveal() == "f" * 32


@pytest.mark.parametrize(
    ("content", "setting"),
    [
        ("partition = 8", "PROFILER_PARTITION"),
        ('partitions = "many"', "PROFILER_PARTITIONS"),
        ("group = 5", "PROFILER_GROUP"),
        ("[store]\nurl = 'x'", "PROFILER_STORE"),
        ("partitions = ", "PROFILER_CONFIG"),
    ],
)
def test_a_wrong_file_is_refused_by_setting(tmp_path: Path, content: str, setting: str) -> None:
    file = tmp_path / "profiler.toml"
    file.write_text(content)

    assert refusal(KEY | {"PROFILER_CONFIG": str(file)}).setting == setting


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal({"PROFILER_CONFIG": str(tmp_path / "none.toml")}).setting == "PROFILER_CONFIG"


def test_the_key_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s" * 40 + "\n")

    settings = load_settings({"PROFILER_PSEUDONYM_KEY_FILE": str(file)})

    assert settings.pseudonym_key.reveal() == "s" * 40


def test_a_key_beside_a_key_file_is_refused(tmp_path: Path) -> None:
    error = refusal(KEY | {"PROFILER_PSEUDONYM_KEY_FILE": str(tmp_path / "key")})

    assert error.setting == "PROFILER_PSEUDONYM_KEY_FILE"


def test_an_unreadable_key_file_is_refused(tmp_path: Path) -> None:
    error = refusal({"PROFILER_PSEUDONYM_KEY_FILE": str(tmp_path / "none")})

    assert error.setting == "PROFILER_PSEUDONYM_KEY_FILE"


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"SECURITY": "sasl_ssl", "PASSWORD": "p"}, "USER"),
        ({"SECURITY": "sasl_ssl", "USER": "u"}, "PASSWORD"),
        ({"SECURITY": "ssl", "PASSWORD": "p"}, "PASSWORD"),
        ({"USER": "u"}, "USER"),
        ({"CA_FILE": "ca.crt"}, "CA_FILE"),
        ({"SECURITY": "SASL_PLAINTEXT"}, "SECURITY"),
        ({"SECURITY": "ssl", "SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM"),
    ],
)
def test_what_brokers_ask_for_is_set_as_a_whole(given: dict[str, str], setting: str) -> None:
    error = refusal(KEY | {f"PROFILER_BROKER_{name}": text for name, text in given.items()})

    assert error.setting == f"PROFILER_BROKER_{setting}"


def test_the_password_of_the_brokers_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    sasl = {"PROFILER_BROKER_SECURITY": "sasl_ssl", "PROFILER_BROKER_USER": "u"}

    settings = load_settings(KEY | sasl | {"PROFILER_BROKER_PASSWORD_FILE": str(file)})

    assert settings.broker_password.reveal() == "hunter2"


def test_a_key_of_the_environment_wins_over_a_key_file_of_the_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "profiler.toml"
    file.write_text('pseudonym_key_file = "/nowhere"')

    settings = load_settings(KEY | {"PROFILER_CONFIG": str(file)})

    assert settings.pseudonym_key.reveal() == "k" * 32


def test_secrets_are_never_shown() -> None:
    sasl = {"SECURITY": "sasl_ssl", "USER": "u", "PASSWORD": "hunter2"}
    settings = load_settings(
        KEY
        | {f"PROFILER_BROKER_{name}": text for name, text in sasl.items()}
        | {"PROFILER_STORE_URL": "redis://user:hunter2@h:1/0"}
    )

    shown = f"{settings!r} {settings} {settings.public()} {settings.pseudonym_key}"

    assert "hunter2" not in shown
    assert "kkk" not in shown
    assert "redis://***@h:1/0" in shown


def test_options_of_the_address_are_not_shown() -> None:
    settings = load_settings(KEY | {"PROFILER_STORE_URL": "redis://h:1/0?password=hunter2"})

    assert "hunter2" not in f"{settings!r} {settings.public()}"


def test_the_process_gives_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROFILER_PSEUDONYM_KEY", "k" * 32)
    monkeypatch.setenv("PROFILER_GROUP", "blue")

    assert settings_from_process().group == "blue"


def test_the_table_in_the_docs_is_the_table_of_the_code() -> None:
    page = (ROOT / "docs/settings.md").read_text("utf-8")

    assert settings_table() in page, "paste streams.settings.settings_table() into docs/settings.md"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"PROFILER_CURRENCY": "EUR"}, "PROFILER_RATES_FILE"),
        ({"PROFILER_RATES_FILE": "rates.csv"}, "PROFILER_CURRENCY"),
    ],
)
def test_a_base_and_its_rates_need_each_other(given: dict[str, str], missing: str) -> None:
    assert refusal(KEY | given).setting == missing


@pytest.mark.parametrize("code", ["eur", "EURO", "E"])
def test_what_is_no_code_of_a_currency_is_refused(code: str) -> None:
    environ = KEY | {"PROFILER_CURRENCY": code, "PROFILER_RATES_FILE": "rates.csv"}

    assert refusal(environ).setting == "PROFILER_CURRENCY"
