# A server for one version of the champion. The exported model carries its code and its pinned requirements:
#
#   mlflow artifacts download --artifact-uri models:/speech-emotion@champion --dst-path model
#   docker build --tag speech-emotion .
#   docker run --rm --publish 5001:8080 speech-emotion
#
# The server accepts audio as base64 only. See docs/deployment.md to let it read files from a folder.

FROM python:3.11-slim AS build
ARG MODEL=model
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY ${MODEL}/requirements.txt /opt/requirements.txt
RUN pip install --no-cache-dir --requirement /opt/requirements.txt

FROM python:3.11-slim
ARG MODEL=model
RUN useradd --create-home --uid 10001 server
COPY --from=build /opt/venv /opt/venv
COPY ${MODEL} /opt/model
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    NUMBA_CACHE_DIR=/home/server/.cache/numba
USER 10001
WORKDIR /home/server
EXPOSE 8080
# The server answers 200 once the model is loaded; the first import takes up to a minute.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
CMD ["mlflow", "models", "serve", "--model-uri", "/opt/model", "--env-manager", "local", "--host", "0.0.0.0", "--port", "8080"]
