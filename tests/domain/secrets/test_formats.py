"""Secrets as files: what is written is read back, and what people write is understood."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.secrets.formats import BadFile, Format, Item, dump, load

FORMATS: tuple[Format, ...] = ("dotenv", "json", "yaml", "csv")
_names = st.text("ABCabc_.-09äÜ", min_size=1, max_size=8)
_values = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n'\"\\$#= `"), max_size=20)


@pytest.mark.parametrize("format", FORMATS)
@given(items=st.dictionaries(_names, _values, max_size=5))
def test_what_is_written_is_read_back(format: Format, items: dict[str, str]) -> None:
    if format == "dotenv":
        items = {
            key: value.replace("\0", "") for key, value in items.items() if key.isascii() and not key.startswith("-")
        }
    given = tuple(Item(key, value) for key, value in items.items())

    assert given == load(format, dump(format, given))


@pytest.mark.parametrize("format", ["dotenv", "csv"])
def test_comments_travel_where_the_format_has_room(format: Format) -> None:
    given = (Item("A", "1", "first\nsecond"), Item("B", "2"), Item("C", "3", "third"))

    assert given == load(format, dump(format, given))


def test_dotenv_as_people_write_it() -> None:
    text = """\ufeff# header

export A=plain
B = spaced   # remark
C="double \\"q\\" \\n $X"
D='single \\n "x"'
E=
F="multi
line"
G=a#b
# about H
H='x' # remark
A=again
"""

    found = {item.key: item for item in load("dotenv", text)}

    assert {
        "A": "again",
        "B": "spaced",
        "C": 'double "q" \n $X',
        "D": 'single \\n "x"',
        "E": "",
        "F": "multi\nline",
        "G": "a#b",
        "H": "x",
    } == {key: item.value for key, item in found.items()}
    assert ("about H", "") == (found["H"].comment, found["A"].comment)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("dotenv", "no assignment"),
        ("dotenv", "A='open"),
        ("dotenv", 'A="open'),
        ("dotenv", "A='x' y"),
        ("dotenv", "=x"),
        ("json", "{"),
        ("json", "[1]"),
        ("json", '"x"'),
        ("json", "[{}]"),
        ("json", "[" * 5000),
        ("yaml", "- a"),
        ("yaml", "a: 'b"),
        pytest.param("yaml", "[" * 3000, marks=pytest.mark.measures),
        ("yaml", "!!python/object:os.system x"),
        ("csv", "a,b\n1,2"),
        ("csv", "key,value\n,x"),
        ("csv", "key,value\nx"),
        ("csv", 'key,value\n"x'),
    ],
)
def test_what_is_not_in_the_format_is_refused(format: Format, text: str) -> None:
    with pytest.raises(BadFile):
        load(format, text)


def test_a_refusal_does_not_show_the_value() -> None:
    for format, text in [
        ("dotenv", "A='canary' canary"),
        ("json", '{"A": "canary'),
        ("yaml", "A: 'canary"),
        ("csv", 'key,value\nA,"canary'),
    ]:
        with pytest.raises(BadFile) as refused:
            load(format, text)  # type: ignore[arg-type]
        assert "canary" not in str(refused.value)


def test_json_numbers_and_flags_are_taken_as_they_are_written() -> None:
    text = '{"A": 8080, "B": true, "C": null, "D": 1.50, "E": {"x": [1]}, "F": "s"}'

    assert ["8080", "true", "", "1.50", '{"x": [1]}', "s"] == [item.value for item in load("json", text)]


def test_json_lists_of_exports_are_understood() -> None:
    text = '[{"key": "A", "value": "1"}, {"secretKey": "B", "secretValue": "2", "secretComment": "c", "version": 3}]'

    assert (Item("A", "1"), Item("B", "2", "c")) == load("json", text)


NESTED = """{"A": {"x": [1, 2.50, true, null, "1", "a, b: c"], "y": {}}, "B": "plain", "C": ["\\u00fc", []]}"""


def test_json_and_yaml_agree_on_structures() -> None:
    pretty = "A:\n  x: [1, 2.50, true, null, '1', 'a, b: c']\n  y: {}\nB: plain\nC:\n- ü\n- []\n"
    expected = ['{"x": [1, 2.50, true, null, "1", "a, b: c"], "y": {}}', "plain", '["ü", []]']

    assert expected == [item.value for item in load("json", NESTED)]
    assert expected[1:] == [item.value for item in load("json", NESTED.replace("], ", "]  ,\n\t"))][1:]
    assert expected == [item.value for item in load("yaml", NESTED)]
    assert expected == [item.value for item in load("yaml", pretty)]


@pytest.mark.measures
def test_yaml_that_grows_by_its_aliases_or_has_no_end_is_refused() -> None:
    lines = ["a0: &a0 [xxxxxxxxxx]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    for text in ("\n".join(lines), "a: &a [*a]", "a: {? [b] : c}"):
        with pytest.raises(BadFile):
            load("yaml", text)


def test_a_dotenv_value_may_stand_in_backticks() -> None:
    text = 'A=`it\'s "so" # no \\n comment`  # a comment\nB=`two\nlines`\nC=a`b\n'

    expected = ['it\'s "so" # no \\n comment', "two\nlines", "a`b"]
    assert expected == [item.value for item in load("dotenv", text)]
    for wrong in ("A=`x", "A=`x` y"):
        with pytest.raises(BadFile):
            load("dotenv", wrong)


ANSWER = """{"secrets": [
    {"id": "1", "secretKey": "A", "secretValue": "own", "secretComment": "c", "type": "shared", "tags": []},
    {"id": "2", "secretKey": "A", "secretValue": "mine", "type": "personal"}], "imports": [
    {"secretPath": "/x", "secrets": [{"secretKey": "A", "secretValue": "no"}, {"secretKey": "B", "secretValue": "1"}]},
    {"secretPath": "/y", "secrets": [{"secretKey": "B", "secretValue": "2"}]}]}"""
KV2 = """{"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": {"data":
    {"A": "1", "B": {"c": 2}}, "metadata": {"created_time": "2026-01-01T00:00:00Z", "version": 3}}, "wrap_info": null}"""
KV1 = '{"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 2764800, "data": {"A": "1", "B": "2"}}'
DOPPLER = """{"secrets": {"A": {"raw": "${X}", "computed": "1", "note": "n"}, "B": {"raw": "2", "computed": "2"},
    "DOPPLER_CONFIG": {"raw": "dev", "computed": "dev"}}, "success": true}"""
AWS = '{"ARN": "arn:aws:secretsmanager:x", "Name": "app/db", "VersionId": "v", "SecretString": "{\\"A\\": \\"1\\"}"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ANSWER, [("A", "own", "c"), ("B", "2", "")]),
        ('{"secret": {"secretKey": "A", "secretValue": "1", "secretComment": ""}}', [("A", "1", "")]),
        (KV2, [("A", "1", ""), ("B", '{"c": 2}', "")]),
        (KV2[KV2.index('{"data"') : KV2.index(', "wrap_info"')], [("A", "1", ""), ("B", '{"c": 2}', "")]),
        (KV1, [("A", "1", ""), ("B", "2", "")]),
        (DOPPLER, [("A", "1", "n"), ("B", "2", "")]),
        ('{"A": {"raw": "1", "computed": "2"}}', [("A", "2", "")]),
        (AWS, [("A", "1", "")]),
        ('{"ARN": "a", "Name": "app/db", "SecretString": "hunter2"}', [("db", "hunter2", "")]),
        # What only looks a little like one of these is names and values:
        ('{"data": {"A": "1"}}', [("data", '{"A": "1"}', "")]),
        ('{"secrets": "x", "B": "1"}', [("secrets", "x", ""), ("B", "1", "")]),
        ('{"secrets": [1], "B": "1"}', [("secrets", "[1]", ""), ("B", "1", "")]),
        ('{"Name": "n", "SecretString": "s"}', [("Name", "n", ""), ("SecretString", "s", "")]),
        ('{"A": {"raw": "1"}}', [("A", '{"raw": "1"}', "")]),
    ],
)
def test_answers_of_other_stores_are_recognised(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert set(expected) == {(item.key, item.value, item.comment) for item in load("json", text)}


def test_values_that_were_hidden_or_are_binary_are_not_taken_for_values() -> None:
    hidden = '{"secrets": [{"secretKey": "A", "secretValue": "<hidden>", "secretValueHidden": true}]}'

    for text in (hidden, '{"ARN": "a", "Name": "n", "SecretBinary": "AA=="}'):
        with pytest.raises(BadFile):
            load("json", text)


def test_yaml_texts_stay_texts() -> None:
    assert ["8080", "yes", "2020-01-01", "null", "0x10"] == [
        item.value for item in load("yaml", "A: 8080\nB: yes\nC: 2020-01-01\nD: null\nE: 0x10\n")
    ]


# --- what is run rather than read

HOSTILE_NAMES = [
    "a$(touch${IFS}x)",
    "b;touch${IFS}y;c",
    "`touch${IFS}z`",
    "A;touch${IFS}w;X",
    "a|b",
    "a&b",
    "a>b",
    "a<b",
    "a(b)",
    "a[$(id)]",
    "a+",
    "a{b,c}",
    "~",
    "*",
    "?",
    "!",
    "a!b",
    "-f",
    "BASH_FUNC_ls%%",
    "a'b",
    'a"b',
    "a#b",
    "a=b",
    "a,b",
    "@SUM(1)",
    "=1+1",
    "+cmd|'",
    "é",
    "\uff21",
    "A²",
    "Aé",
    "\u0663",
]
HOSTILE_VALUES = [
    "",
    " ",
    "plain",
    "it's",
    'say "x"',
    "$(touch x)",
    "`touch x`",
    "${HOME}",
    "$HOME",
    "a\\nb",
    "a\nb",
    "it's\na\\nb",
    "\n",
    "it's\n",
    "a\r\nb",
    "it's\r\nb\r",
    "\r",
    "\t",
    "a\\",
    "it's\\",
    "\\\n'",
    "'",
    "''",
    "'\"'",
    "!!",
    "it's !x",
    "~",
    "a ~",
    "#",
    "a #b",
    "*",
    "ä\u2028€\U0001f511",
    "'; touch x; '",
    '"; touch x; "',
    "$'\\x41'",
    "\x1b[31m",
    "\x81\x82'",
    "a=b",
    "(x)",
    "it's $(touch x) `touch x` $HOME \\$HOME \\\\",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_a_shell_would_run_is_refused_by_dotenv_and_by_no_other_format(name: str) -> None:
    given = (Item("GOOD", "1"), Item(name, "2"))

    with pytest.raises(BadFile) as refused:
        dump("dotenv", given)

    assert (True, False) == (repr(name) in str(refused.value), "GOOD" in str(refused.value))
    for format in ("json", "yaml", "csv"):
        assert given == load(format, dump(format, given))


def test_all_names_that_are_refused_are_named() -> None:
    with pytest.raises(BadFile, match=r"'a;b', 'c;d'; a name there"):
        dump("dotenv", [Item("a;b", ""), Item("GOOD", ""), Item("c;d", "")])


def test_a_zero_character_is_no_value_of_a_variable() -> None:
    with pytest.raises(BadFile, match="A") as refused:
        dump("dotenv", [Item("A", "canary\0"), Item("B", "x")])

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_name_with_letters_beyond_ascii_is_a_command_to_a_shell_and_so_refused(shell: str, tmp_path: Path) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    command = tmp_path / "é=x"
    command.write_text("#!/bin/sh\ntouch ran\n")
    command.chmod(0o755)
    (tmp_path / "file.env").write_text("é=x\n")

    done = subprocess.run(
        [path, "-c", ". ./file.env"], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=60, check=False
    )

    assert (0, True) == (done.returncode, (tmp_path / "ran").exists())
    with pytest.raises(BadFile, match="'é'"):
        dump("dotenv", [Item("é", "x")])


def sourced(shell: str, text: str, names: list[str], folder: Path) -> list[str]:
    """The values of variables after a shell read a file, and what else it left behind."""
    (folder / "file.env").write_bytes(text.encode())
    script = "set -a; . ./file.env || exit 9; set +a; " + "; ".join(f"printf '%s\\0' \"${name}\"" for name in names)
    done = subprocess.run([shell, "-c", script], cwd=folder, capture_output=True, timeout=60, check=False)
    assert (0, b"", ["file.env"]) == (done.returncode, done.stderr, [path.name for path in folder.iterdir()])
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", ["bash", "dash", "sh"])
def test_a_shell_that_reads_a_dotenv_file_gets_exactly_the_values(shell: str, tmp_path: Path) -> None:
    path = shutil.which(shell)
    assert path is not None or shell == "dash"
    items = [Item(f"V{i}", value, "why $(touch x)\n; touch y") for i, value in enumerate(HOSTILE_VALUES)]

    found = sourced(path or "/bin/sh", dump("dotenv", items), [item.key for item in items], tmp_path)

    assert HOSTILE_VALUES == found
    assert tuple(items) == load("dotenv", dump("dotenv", items))


@given(value=st.text(st.sampled_from("\n\r\t'\"\\$`#=!~*;&|(){}[]<>? abänr"), max_size=12))
def test_a_dotenv_value_of_any_signs_is_read_back_equal(value: str) -> None:
    assert (Item("A", value),) == load("dotenv", dump("dotenv", [Item("A", value)]))


def test_dotenv_files_with_the_line_ends_of_windows_are_understood() -> None:
    text = "A=plain\r\nB='x\r\ny' # remark\r\nC=\"z\"\r\nD=\r\n"

    assert ["plain", "x\ny", "z", ""] == [item.value for item in load("dotenv", text)]


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "'=1",
        "''+1",
        "\uff1d1",
        "+cmd|' /C calc'!A0",
        "-----BEGIN KEY-----",
    ],
)
def test_a_spreadsheet_calculates_no_cell_of_a_csv_file(cell: str) -> None:
    item = Item(cell, cell, cell)

    text = dump("csv", [item])
    rows = list(csv.reader(io.StringIO(text, newline="")))

    assert [["'" + cell] * 3] == rows[1:]
    assert (item,) == load("csv", text)


@pytest.mark.parametrize("cell", ["a=1", "1-1", "'", "'a", "''a", "a'=1"])
def test_other_cells_of_a_csv_file_stay_as_they_are(cell: str) -> None:
    item = Item(cell, cell)

    assert [cell, cell, ""] == next(iter(list(csv.reader(io.StringIO(dump("csv", [item]))))[1:]))
    assert (item,) == load("csv", dump("csv", [item]))


@pytest.mark.parametrize("cell", ["a;=1+1", "a\t=1+1", "a|=1+1", 'a";=1+1', "a;=cmd|' /C calc'!A0;", "a\n;=1+1"])
def test_a_separator_of_other_spreadsheets_begins_no_cell(cell: str) -> None:
    item = Item(cell, cell, cell)
    text = dump("csv", [Item("A", "b"), item])
    unquoted = re.sub(r'"(?:[^"]|"")*"', "", text)

    assert not set(";\t|") & set(unquoted)
    assert text.startswith("key,value,comment\r\nA,b,\r\n")
    assert (Item("A", "b"), item) == load("csv", text)
