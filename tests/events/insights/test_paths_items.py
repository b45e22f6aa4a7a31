"""The text of a property, found quickly, is the one that a reader of JSON finds."""
# ruff: noqa: S608 values are bound

from types import ModuleType

import pytest

from events.insights.paths_items import property_text


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ("{}", ""),
        ('{"$current_url":"/a"}', "/a"),
        ('{"b":1,"$current_url":"/a","c":{"$current_url":"/b"}}', "/a"),
        ('{"c":{"$current_url":"/b"},"$current_url":"/a"}', "/a"),
        ('{"c":{"$current_url":"/b"}}', ""),
        ('{"c":[{"$current_url":"/b"}],"d":1}', ""),
        ('{"c":"{","$current_url":"/a"}', "/a"),
        ('{"c\\"$current_url":"/b"}', ""),
        ('{",\\"$current_url":"/b","$current_url":"/a"}', "/a"),
        ('{"c":"\\"$current_url\\":\\"/b\\"","$current_url":"/a"}', "/a"),
        ('{"c":"$current_url","d":"/b"}', ""),
        ('{"$current_url":null}', ""),
        ('{"$current_url":7}', "7"),
        ('{"$current_url":true}', "true"),
        ('{"$current_url":["/a"]}', '["/a"]'),
        ('{ "$current_url" : "/a" }', "/a"),
        ('{"$current_url":"a\\"\\\\\\/\\n\\u00e9b"}', 'a"\\/\néb'),
        ('{"$current_url":"\\ud83d\\ude00"}', "😀"),
        ('{"$current_url":"😀/é"}', "😀/é"),
        ('{"$current_urls":"/b","$current_url":"/a"}', "/a"),
    ],
)
def test_a_property_is_read_as_json(clickhouse: ModuleType, properties: str, text: str) -> None:
    expression = property_text("$current_url")
    sql = f"SELECT {expression} FROM (SELECT materialize({{properties:String}}) AS properties) AS e"
    assert clickhouse.query(sql, {"properties": properties}).rows == [(text,)]
