# syntax=docker/dockerfile:1
# One image for web, worker, beat and migrate; docker-compose.yml chooses the command.

FROM python:3.13-slim AS dependencies
# The version that the Makefile names too.
RUN pip install --no-cache-dir uv==0.13.8
ENV UV_PYTHON=/usr/local/bin/python \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
WORKDIR /app
COPY pyproject.toml uv.lock ./
# Neither the embedded stores nor the development tools: production has stores of its own.
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-default-groups

FROM python:3.13-slim
RUN groupadd --system --gid 10001 app && useradd --system --uid 10001 --gid app --no-create-home app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=persons_api.settings \
    PERSONS_API_PRODUCTION=true
WORKDIR /app
COPY --from=dependencies /app/.venv .venv
COPY manage.py ./
COPY persons_api persons_api
COPY core core
COPY events events
COPY tasks tasks
# Bytecode of our own code is written here once: the root file system is read-only when it runs.
RUN PYTHONDONTWRITEBYTECODE= python -m compileall -q persons_api core events tasks
USER 10001:10001
EXPOSE 8000
CMD ["granian", "--interface", "wsgi", "persons_api.wsgi:application", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--blocking-threads", "4", "--no-ws", "--respawn-failed-workers", "--workers-kill-timeout", "15"]
