# The broker where the official image is out of reach (tools/docker-here): the distribution's package, set up so
# that what compose.yml asks of the official image holds: guest from other machines, the management plug-in, the
# ports, the command rabbitmq-diagnostics.
ARG BASE
FROM ${BASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rabbitmq-server \
    && rm -rf /var/lib/apt/lists/* /var/log/* \
    && mkdir -p /var/log/rabbitmq && chown rabbitmq:rabbitmq /var/log/rabbitmq \
    && echo 'loopback_users = none' > /etc/rabbitmq/rabbitmq.conf \
    && echo 'log.console = true' >> /etc/rabbitmq/rabbitmq.conf \
    && echo '[rabbitmq_management].' > /etc/rabbitmq/enabled_plugins
ENV LANG=C.UTF-8 RABBITMQ_LOGS=-
USER rabbitmq
VOLUME /var/lib/rabbitmq
EXPOSE 5672 15672
LABEL io.gilotine.stand-in=true
CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
