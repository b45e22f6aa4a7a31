"""The jobs of plugins: deliveries to destinations, jobs that the API started, and what is to be forgotten."""

from celery import shared_task

from core.plugins.deliveries import pruning as deliveries_pruning
from core.plugins.deliveries.nudges import deliveries_nudge, deliveries_nudge_paced
from core.plugins.deliveries.working import deliver
from core.plugins.installing.compiling import sources_compile
from core.plugins.installing.nudges import compile_nudge, compile_nudge_forget
from core.plugins.jobs import pruning as jobs_pruning
from core.plugins.jobs.nudges import jobs_nudge, jobs_nudge_forget
from core.plugins.jobs.working import jobs_run

PORTION_SECONDS = 5.0


@shared_task(ignore_result=True)
def plugins_deliver() -> None:
    """Deliver what waits for a few seconds, then queue behind the other jobs for the rest."""
    deliveries_nudge_paced()
    if deliver(seconds=PORTION_SECONDS):
        deliveries_nudge()


@shared_task(ignore_result=True)
def plugin_jobs_run() -> None:
    """Run the jobs that are due for a few seconds, then queue behind the other jobs for the rest."""
    jobs_nudge_forget()
    if jobs_run(seconds=PORTION_SECONDS):
        jobs_nudge()


@shared_task(ignore_result=True)
def plugin_sources_compile() -> None:
    """Compile browser code that waits for a few seconds, then queue behind the other jobs for the rest."""
    compile_nudge_forget()
    if sources_compile(seconds=PORTION_SECONDS):
        compile_nudge()


@shared_task(ignore_result=True)
def plugins_prune() -> None:
    """Forget dead letters, counts and finished jobs past their age."""
    deliveries_pruning.prune()
    jobs_pruning.prune()
