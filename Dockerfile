# syntax=docker/dockerfile:1
# Two stages: the first installs hash-pinned packages, the second carries only them, the program and its rules.
#   docker build -t market-risk-monitor .
#   docker run --rm -p 127.0.0.1:9108:9108 market-risk-monitor demo --listen 0.0.0.0:9108

FROM python:3.11-slim-bookworm AS packages
COPY requirements/run.txt /requirements.txt
RUN python -m venv /opt/monitor \
 && /opt/monitor/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: -r /requirements.txt \
 && /opt/monitor/bin/python -m pip uninstall --yes --quiet pip setuptools

FROM python:3.11-slim-bookworm
ENV PATH=/opt/monitor/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin monitor \
 && install -d -o monitor -g monitor /app/data
COPY --from=packages /opt/monitor /opt/monitor
WORKDIR /app
COPY monitor monitor
COPY rules rules
COPY deploy/config.yaml config.yaml
# Compiled once, here: the running container cannot write beside the program.
RUN python -m compileall -q monitor
USER monitor
VOLUME /app/data
EXPOSE 9108
# Only asks whether the process is alive; a venue that is down is no reason to restart.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9108/healthz', timeout=4)"]
# SIGTERM drains; two seconds are enough, and Docker waits ten.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "monitor"]
CMD ["run", "--config", "config.yaml"]
