"""The job that fills demo projects, when one is made and by the clock for those that a killed worker left."""

from celery import shared_task

from core.capture import demo_projects
from core.projects.nudges import demo_nudge_forget


@shared_task(ignore_result=True)
def demo_generate() -> None:
    """Fill the projects that wait."""
    demo_nudge_forget()
    try:
        demo_projects.demo_generate()
    except demo_projects.POSTPONED:
        demo_projects.log.warning("demo_data_postponed", reason="a store is not reachable")
