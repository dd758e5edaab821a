# The page and the API in one image, for a processor:
#
#     docker build -t segkit .
#     docker run --rm -p 127.0.0.1:7860:7860 segkit                                   # the page
#     docker run --rm -p 127.0.0.1:7860:7860 segkit serve --host 0.0.0.0 --port 7860  # the API
#
# Open http://localhost:7860. The address before the first colon keeps it to your own machine; nothing is kept
# in the container, which also runs with --read-only --tmpfs /tmp.

FROM python:3.11-slim AS build
ARG TORCH=https://download.pytorch.org/whl/cpu
WORKDIR /source
COPY . .
# torch for processors alone, without the libraries for graphics cards.
RUN python -m venv /opt/segkit && \
    /opt/segkit/bin/pip install --no-cache-dir -c requirements.lock --extra-index-url "$TORCH" \
    "$(grep '^torch==' requirements.lock)+cpu" ".[demo,video,export]"

FROM python:3.11-slim
COPY --from=build /opt/segkit /opt/segkit
# Caches, and videos while they are at work, lie in /tmp.
ENV PATH=/opt/segkit/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 7860
HEALTHCHECK --start-period=60s --timeout=5s \
    CMD ["python", "-c", "from http.client import *; c = HTTPConnection('localhost', 7860); c.request('GET', '/'); c.getresponse()"]
ENTRYPOINT ["segkit"]
CMD ["demo", "--host", "0.0.0.0", "--port", "7860"]
