// An application with the OpenTelemetry SDK for Node.js: sends some spans, metrics and log records, and says when it is done.
//
// Arguments: protocol (grpc, or http which is JSON), endpoint, number of spans and of log records.

import { CompressionAlgorithm } from "@opentelemetry/otlp-exporter-base";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { TracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace";

const [protocol, endpoint, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const exporter = async (signal, name) => {
  const module = await import(`@opentelemetry/exporter-${signal}-otlp-${protocol}`);
  const path = signal === "trace" ? "traces" : signal;
  const url = protocol === "grpc" ? endpoint : `${endpoint}/v1/${path}`;
  return new module[name]({ url, compression: CompressionAlgorithm.GZIP });
};
const resource = resourceFromAttributes({ "service.name": "node-shop", "service.version": "1.0.0" });
const spans = new TracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor({ exporter: await exporter("trace", "OTLPTraceExporter") })],
});
const logs = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: await exporter("logs", "OTLPLogExporter") })],
});
const reader = new PeriodicExportingMetricReader({ exporter: await exporter("metrics", "OTLPMetricExporter") });
const metrics = new MeterProvider({ resource, readers: [reader] });

const orders = metrics.getMeter("client").createCounter("shop.orders");
const took = metrics.getMeter("client").createHistogram("shop.checkout.duration", { unit: "s" });
const tracer = spans.getTracer("client");
const logger = logs.getLogger("client");
for (let number = 0; number < count; number += 1) {
  const span = tracer.startSpan("checkout", { attributes: { number, express: number % 2 === 0 } });
  logger.emit({ severityNumber: 9, severityText: "INFO", body: `order ${number} accepted`, attributes: { number } });
  orders.add(1, { currency: "EUR" });
  took.record(number / 1000);
  span.end();
}
await Promise.all([spans.forceFlush(), logs.forceFlush(), metrics.forceFlush()]);
await Promise.all([spans.shutdown(), logs.shutdown(), metrics.shutdown()]);
console.log("flushed");
