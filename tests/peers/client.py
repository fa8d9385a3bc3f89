"""An application with the OpenTelemetry SDK for Python: sends some spans, metrics and log records, and says how many.

Arguments: protocol (grpc or http), endpoint, number of items of each signal.
"""

import logging
import sys

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

protocol, endpoint, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporters = [exporter(endpoint=endpoint, insecure=True) for exporter in (OTLPSpanExporter, OTLPMetricExporter, OTLPLogExporter)]
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporters = [
        exporter(endpoint=f"{endpoint}/v1/{signal}", compression=Compression.Gzip)
        for exporter, signal in ((OTLPSpanExporter, "traces"), (OTLPMetricExporter, "metrics"), (OTLPLogExporter, "logs"))
    ]

resource = Resource.create({"service.name": "python-client", "service.version": "2.0.1"})

tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(exporters[0]))
tracer = tracers.get_tracer("client")
for index in range(count):
    with tracer.start_as_current_span(f"step {index % 3}") as span:
        span.set_attribute("index", index)

meters = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(exporters[1])])
counter = meters.get_meter("client").create_counter("client.items", unit="{item}")
histogram = meters.get_meter("client").create_histogram("client.duration", unit="s")
for index in range(count):
    counter.add(1, {"index": index})
    histogram.record(index / 1000.0)

loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(exporters[2]))
logger = logging.getLogger("client")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=loggers))
for index in range(count):
    logger.info("item %d of %d done", index, count)

ended = [tracers.force_flush(), meters.force_flush(), loggers.force_flush()]
tracers.shutdown()
meters.shutdown()
loggers.shutdown()
print("flushed" if all(ended) else f"not flushed: {ended}")
