//! An OTLP/gRPC collector in the test's own process.

#![allow(dead_code, reason = "every test reads what it is about")]

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use tokio::{sync::watch, time::timeout};
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding,
    transport::{Server, server::TcpIncoming},
};

/// How long a span may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);

/// A span as it came in, its ids in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_id: String,
    pub(crate) kind: i32,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) error: Option<String>,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Takes whatever is exported to it.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    seen: watch::Receiver<Vec<Seen>>,
}

impl Collector {
    /// Needs an async runtime around it.
    pub(crate) fn start() -> Self {
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = incoming.local_addr().expect("it is bound");
        let (sender, seen) = watch::channel(Vec::new());
        let service = TraceServiceServer::new(Sink(sender)).accept_compressed(CompressionEncoding::Gzip);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { endpoint: format!("http://{address}"), seen }
    }

    /// Waits until what came in is enough.
    pub(crate) async fn wait_until(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut seen = self.seen.clone();
        if let Ok(spans) = timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await {
            return spans.expect("the collector lives").clone();
        }
        panic!("not enough spans within {PATIENCE:?}: {:#?}", self.seen());
    }

    /// What has come in by now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

struct Sink(watch::Sender<Vec<Seen>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers: BTreeMap<_, _> = request
            .metadata()
            .clone()
            .into_headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        self.0.send_modify(|seen| {
            for group in request.into_inner().resource_spans {
                let resource = texts(&group.resource.unwrap_or_default().attributes);
                for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    seen.push(Seen::new(span, resource.clone(), headers.clone()));
                }
            }
        });
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Seen {
    fn new(span: Span, resource: BTreeMap<String, String>, headers: BTreeMap<String, String>) -> Self {
        let error = span.status.filter(|status| status.code() == StatusCode::Error).map(|status| status.message);
        Self {
            name: span.name,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            kind: span.kind,
            attributes: texts(&span.attributes),
            error,
            resource,
            headers,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let value = |attribute: &KeyValue| attribute.value.clone().and_then(|any| any.value);
    attributes.iter().filter_map(|each| Some((each.key.clone(), text(&value(each)?)))).collect()
}
