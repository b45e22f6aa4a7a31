"""From text to the tree of `events.hogql.ast`."""

from events.hogql.parser.parse import MAX_CHARACTERS, parse_expr, parse_order_expr, parse_select, parse_template

__all__ = ["MAX_CHARACTERS", "parse_expr", "parse_order_expr", "parse_select", "parse_template"]
