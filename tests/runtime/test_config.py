"""Configuration: typed, every error at once, the nearest known key named; file and schema in agreement."""

import dataclasses
import re
from pathlib import Path

import pytest

from runtime.config import Config, ConfigErrors, Key, load, load_files
from runtime.node_config import application_class, load_node_config
from runtime.node_keys import KEYS

pytestmark = pytest.mark.plain
ETC = Path(__file__).resolve().parents[2] / "etc"
SCHEMA = (
    Key("door.port", int, 7222, min=0, max=65535, doc="where it listens"),
    Key("door.host", str, "127.0.0.1"),
    Key("door.idle", float, 60.0, "seconds", 0.1),
    Key("door.tls", bool, True),
    Key("door.kinds", list[str], ["a"], choices=("a", "b")),
    Key("door.limits.rate", int, 10, "frames/s", 1, 100),
    Key("log.level", str, "info", choices=("debug", "info")),
    Key("log.levels", dict, {}),
)


def written(tmp_path, text, name="x.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def errors(path, *overrides, schema=SCHEMA):
    with pytest.raises(ConfigErrors) as caught:
        load(path, schema, overrides)
    return [error.message for error in caught.value.errors]


def test_default_then_file_then_command_line(tmp_path):
    path = written(tmp_path, '[door]\nport = 1\nhost = "::1"\n')
    config = load(path, SCHEMA, ["door.port=2"])
    assert (config.integer("door.port"), config.text("door.host"), config.number("door.idle")) == (
        2,
        "::1",
        60.0,
    )
    assert config.origin("door.port") == "command line"
    assert config.origin("door.host") == str(path)
    assert config.origin("door.idle") == "default"


def test_nested_sections_tables_and_whole_numbers_for_floats(tmp_path):
    config = load(
        written(tmp_path, '[door]\nidle = 5\n[door.limits]\nrate = 3\n[log.levels]\n"a.b" = "debug"\n'),
        SCHEMA,
    )
    assert type(config["door.idle"]) is float
    assert config.integer("door.limits.rate") == 3
    assert config["log.levels"] == {"a.b": "debug"}
    assert config.section("door") == {
        "port": 7222,
        "host": "127.0.0.1",
        "idle": 5.0,
        "tls": True,
        "kinds": ["a"],
    }


def test_every_error_is_reported_at_once(tmp_path):
    path = written(
        tmp_path, '[door]\nprt = 1\nport = 70000\ntls = "yes"\nkinds = ["c"]\n[log]\nlevel = "loud"\n'
    )
    found = errors(path, "door.idle=nan", "log=1", "nonsense")
    assert len(found) == 8
    assert "unknown key door.prt; did you mean door.port?" in found
    assert "door.port = 70000 is not allowed; wanted: a whole number from 0 to 65535" in found
    assert "door.tls = 'yes' is not allowed; wanted: true or false" in found
    assert "door.kinds = ['c'] is not allowed; wanted: a list, each one of 'a', 'b'" in found
    assert "log.level = 'loud' is not allowed; wanted: one of 'debug', 'info'" in found
    assert "door.idle = nan is not allowed; wanted: a number of at least 0.1 (seconds)" in found
    assert "log is a section, not a key" in found
    assert "'nonsense' is not of the form section.key=value" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dor]\nport = 1\n", "unknown key dor.port; did you mean door.port?"),
        ("port = 1\n", "unknown key port; did you mean door.port?"),
        ("[door]\nrate = 1\n", "unknown key door.rate; did you mean door.limits.rate?"),
        ("[zzz]\nqqq = 1\n", "unknown key zzz.qqq"),
        ("[zzz]\n", "unknown key zzz"),
        ("[door]\nport = true\n", "door.port = true is not allowed; wanted: a whole number from 0 to 65535"),
        ("[door]\nport = 1.0\n", "door.port = 1.0 is not allowed; wanted: a whole number from 0 to 65535"),
        ("door = 1\n", "door is a section, not a key"),
        ('[log]\nlevels = "x"\n', "log.levels = 'x' is not allowed; wanted: a table"),
    ],
)
def test_one_error_one_sentence(tmp_path, text, message):
    assert errors(written(tmp_path, text)) == [message]


def test_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(
        ConfigErrors, match=r"gone\.toml: the file cannot be read \(No such file or directory\)"
    ):
        load(tmp_path / "gone.toml", SCHEMA)
    with pytest.raises(ConfigErrors, match=r"x\.toml: not valid TOML: .*line 1"):
        load(written(tmp_path, "[door\n"), SCHEMA)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigErrors, match=r"b\.toml: not valid TOML"):
        load(tmp_path / "b.toml", SCHEMA)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("door.host=a=b", "a=b"),
        ('door.host="quoted"', "quoted"),
        ("door.host=", ""),
        ("door.tls=false", False),
        ("door.idle=1", 1.0),
        ("door.kinds=a, b", ["a", "b"]),
        ('door.kinds=["b"]', ["b"]),
        ('log.levels={ "a.b" = "debug" }', {"a.b": "debug"}),
    ],
)
def test_override_needs_quotes_only_where_toml_is_ambiguous(override, value):
    assert load(None, SCHEMA, [override])[override.partition("=")[0]] == value


def test_two_files_one_configuration_and_a_key_in_the_wrong_one(tmp_path):
    other = (Key("chat.window", int, 64),)
    config = load_files([(None, SCHEMA), (written(tmp_path, "[chat]\nwindow = 1\n"), other)], ["door.port=0"])
    assert (config["chat.window"], config["door.port"]) == (1, 0)
    with pytest.raises(ConfigErrors, match=r"chat\.window belongs in another file"):
        load_files([(written(tmp_path, "[chat]\nwindow = 1\n", "y.toml"), SCHEMA), (None, other)])


def test_getters_refuse_what_the_key_is_not():
    config = Config({"a.b": 1, "a.c": True})
    with pytest.raises(TypeError, match="'a.b' is a int"):
        config.text("a.b")
    with pytest.raises(TypeError, match="'a.c' is a bool"):
        config.integer("a.c")
    with pytest.raises(KeyError, match=r"no setting 'a\.bb'; did you mean a\.b\?"):
        config["a.bb"]


def test_a_section_fills_a_dataclass():
    @dataclasses.dataclass
    class Door:
        port: int
        host: str

    assert load(None, SCHEMA).into(Door, "door") == Door(7222, "127.0.0.1")


def test_values_are_not_shown_by_repr():
    assert "hunter2" not in repr(Config({"sms.password": "hunter2"}))


def test_difference_tells_changed_new_and_removed():
    old, new = Config({"a": 1, "b": 2}), Config({"b": 3, "c": 4})
    assert old.difference(new) == ({"b": 3}, {"c": 4}, ["a"])


# The node's own file


def test_node_file_and_schema_agree():
    """Every key stands in etc/node.toml with its default, its unit, and a line of why above it."""
    config = load(ETC / "node.toml", KEYS)
    assert dict(config) == {key.name: key.default for key in KEYS}
    assert all(config.origin(key.name) != "default" for key in KEYS), "a key is missing in etc/node.toml"
    text = (ETC / "node.toml").read_text()
    for key in KEYS:
        assert key.doc
        if key.unit:
            above = re.search(rf"((?:^#.*\n)+)(?:^\w+ = .*\n)*?^{key.name.partition('.')[2]} = ", text, re.M)
            assert above, key.name
            assert key.unit in above[1], key.name


def test_names_of_one_schema_are_unique():
    assert len({key.name for key in KEYS}) == len(KEYS)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["runtime.mailbox_low=20000"], "runtime.mailbox_low = 20000 must be below runtime.mailbox_high"),
        (["runtime.hog_kill=0.05"], "runtime.hog_kill = 0.05 must be above runtime.hog_warn, or 0"),
        (["node.tls_key=x.key"], "node.tls_certificate = '' must be set too"),
        (["store.max_size=1048576"], "store.map_initial = 67108864 must not be above store.max_size"),
        (['log.levels={ x = "loud" }'], "log.levels = {'x': 'loud'} gives x a level that is none of"),
        (["code.roots=../elsewhere"], "code.roots = ['../elsewhere'] must name folders of packages beneath"),
        (["code.roots=/srv/apps"], "code.roots = ['/srv/apps'] must name folders of packages beneath"),
        (["node.applications=nonsense"], "'nonsense' is not of the form module:Class"),
        (["node.applications=no.such:Thing"], "there is no module no"),
        (["node.applications=runtime.config:Nothing"], "runtime.config has no class Nothing"),
        (["node.applications=runtime.config:Key,runtime.config:Key"], "'runtime.config:Key' is there twice"),
        (["node.data_dir=a\0b"], "node.data_dir = 'a\\x00b' is not allowed"),
        (["node.stop_timeou=1"], "unknown key node.stop_timeou; did you mean node.stop_timeout?"),
    ],
)
def test_rules_between_the_nodes_keys(overrides, message):
    with pytest.raises(ConfigErrors) as caught:
        load_node_config(None, ["node.applications=[]", *overrides])
    assert message in str(caught.value)


def test_application_checks_its_settings_against_each_other(tmp_path, monkeypatch):
    (tmp_path / "careful_app.py").write_text(
        "from runtime.config import Key\n"
        "from runtime.otp.application import Application\n"
        "class Careful(Application):\n"
        "    name = 'careful'\n"
        "    schema = (Key('careful.low', int, 1), Key('careful.high', int, 2))\n"
        "    @classmethod\n"
        "    def config_problems(cls, config):\n"
        "        low, high = config['careful.low'], config['careful.high']\n"
        "        return {} if low < high else {'careful.low': 'must be below careful.high'}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = "node.applications=careful_app:Careful"
    assert load_node_config(None, [own])[0]["careful.low"] == 1
    with pytest.raises(ConfigErrors, match=r"careful\.low = 3 must be below careful\.high"):
        load_node_config(None, [own, "careful.low=3"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import no_such_module_anywhere",
            "needs the module no_such_module_anywhere, which is not installed",
        ),
        ("def broken(:", "broken_app cannot be imported: SyntaxError: .*broken_app.py:1"),
        ("1 / 0", "broken_app cannot be imported: ZeroDivisionError: .*broken_app.py:1"),
    ],
)
def test_application_that_cannot_be_imported_is_said_in_a_sentence(tmp_path, monkeypatch, source, words):
    (tmp_path / "broken_app.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=words):
        application_class("broken_app:Broken")


def test_hog_kill_may_be_off():
    config, classes = load_node_config(None, ["node.applications=[]", "runtime.hog_kill=0"])
    assert config.number("runtime.hog_kill") == 0
    assert classes == []


def test_unknown_keys_and_a_missing_application_are_reported_together(tmp_path):
    path = written(tmp_path, '[node]\nnam = "x"\napplications = ["no.such:Thing"]\n')
    with pytest.raises(ConfigErrors) as caught:
        load_node_config(path, [])
    assert len(caught.value.errors) == 2


def test_a_missing_application_is_reported_with_the_place_that_named_it(tmp_path):
    path = written(tmp_path, '[node]\nname = "x"\n')
    for overrides, place in (
        (["node.applications=no.such:Thing"], "--set node.applications=no.such:Thing: "),
        (["node.name=y"], f"{path}: "),
    ):
        if not overrides[0].startswith("node.app"):
            path = written(tmp_path, '[node]\napplications = ["no.such:Thing"]\n')
        with pytest.raises(ConfigErrors) as caught:
            load_node_config(path, overrides)
        assert str(caught.value).startswith(place)


def test_application_file_lies_beside_the_nodes(tmp_path, monkeypatch):
    (tmp_path / "sample_app.py").write_text(
        "from runtime.config import Key\n"
        "class Sample:\n    config_file = 'sample.toml'\n    schema = (Key('sample.size', int, 1, min=1),)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    node = written(tmp_path, '[node]\napplications = ["sample_app:Sample"]\n', "node.toml")
    config, classes = load_node_config(node, [])
    assert config["sample.size"] == 1
    assert classes == [application_class("sample_app:Sample")]
    written(tmp_path, "[sample]\nsize = 7\n", "sample.toml")
    assert load_node_config(node, ["sample.size=9"])[0]["sample.size"] == 9
    assert load_node_config(node, [])[0]["sample.size"] == 7


@pytest.mark.parametrize("text", ["node = 3\n", '[[node]]\nname = "x"\n'])
def test_a_section_that_is_none_is_an_error_like_any_other(tmp_path, text):
    with pytest.raises(ConfigErrors, match="node is a section, not a key"):
        load_node_config(written(tmp_path, text), [])
