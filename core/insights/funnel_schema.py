"""The published parameters of funnels and of their correlation (insight_actors.md 2.3)."""

from typing import Final

from core.insights.funnel import LONGEST_WINDOWS, MAX_EXCLUSIONS, MAX_STEPS, ORDERS, VISUALIZATIONS
from core.insights.funnel_breakdown import ATTRIBUTIONS, TYPES
from core.insights.schema import Described

FUNNEL: Final[Described] = {
    "funnel_step": (
        int,
        "n: who reached step n; -n: who reached step n - 1 and never step n; 0: all. Needed without custom steps.",
    ),
    "funnel_custom_steps": (list, "Exactly so many steps were done; wins over `funnel_step`."),
    "funnel_order_type": (str, f"One of {', '.join(ORDERS)}. Default: ordered. At most {MAX_STEPS} steps."),
    "funnel_window_interval": (int, "How long after the first step the last may happen. Default: 14."),
    "funnel_window_interval_unit": (str, f"One of {', '.join(LONGEST_WINDOWS)}, in any case. Default: day."),
    "funnel_window_days": (int, "The window in days; unless 0 it wins over the two above."),
    "exclusions": (
        list,
        f"At most {MAX_EXCLUSIONS} entities with `funnel_from_step` and `funnel_to_step` (from 0): discard a start.",
    ),
    "breakdown": (list, "A property or cohort, or a list of these, by whose value the actors are divided."),
    "breakdowns": (list, '`[{"property", "type"}]`: the same.'),
    "breakdown_type": (str, f"One of {', '.join(TYPES)}. Default: event."),
    "breakdown_group_type_index": (int, "The group type (0 to 4) of a breakdown by groups."),
    "breakdown_limit": (int, "So many most frequent values stand for themselves, all others for `Other`. Default: 25."),
    "breakdown_normalize_url": (bool, "Values lose `/`, `?` and `#` at their ends."),
    "breakdown_attribution_type": (str, f"One of {', '.join(ATTRIBUTIONS)}. Default: first_touch."),
    "breakdown_attribution_value": (int, "The step (from 0) of the attribution `step`."),
    "funnel_step_breakdown": (list, "Only actors of this value, or of this list of values. Default: all."),
    "funnel_viz_type": (str, f"One of {', '.join(VISUALIZATIONS)}. Default: steps. The next four belong to trends."),
    "entrance_period_start": (str, "The start of the interval in which the actors entered the funnel."),
    "drop_off": (bool, "Those who came from the one step and did not reach the other; else those who reached it."),
    "funnel_from_step": (int, "The one step, from 0. Default: the first."),
    "funnel_to_step": (int, "The other step, from 0. Default: the last."),
    "aggregation_group_type_index": (int, "The actors are groups of this type, 0 to 4."),
    "include_final_matching_events": (bool, "Recordings show the last step that each actor did."),
}
CORRELATION: Final[Described] = {
    "funnel_correlation_type": (str, "`events`, `event_with_properties` or `properties`. Default: events."),
    "funnel_correlation_person_entity": (
        list,
        "The entity of which the actors did an event after their first step and before their last one.",
    ),
    "funnel_correlation_property_values": (list, "The property filters of the type `properties`."),
    "funnel_correlation_person_converted": (
        str,
        "`true`: only who did every step; `false`: only who did not. Default: both.",
    ),
    "funnel_correlation_person_limit": (int, "Actors per page; takes the place of `limit`."),
    "funnel_correlation_person_offset": (int, "Actors to skip; takes the place of `offset`."),
}
