//! The shop's services as a table: their operations, calls and log lines.

use crate::model::{Background, Entry, Language, Operation, OperationId, Pool, Service, ServiceId, Step};

pub(crate) const FRONTEND: ServiceId = 0;
pub(crate) const CHECKOUT: ServiceId = 1;
pub(crate) const CART: ServiceId = 2;
pub(crate) const PAYMENT: ServiceId = 3;
pub(crate) const CATALOG: ServiceId = 4;
pub(crate) const INVENTORY: ServiceId = 5;
pub(crate) const SHIPPING: ServiceId = 6;
pub(crate) const RECOMMENDATION: ServiceId = 7;
pub(crate) const NOTIFICATION: ServiceId = 8;
pub(crate) const REPORTING: ServiceId = 9;
pub(crate) const ADMIN: ServiceId = 10;

/// How full the volume of `shipping` is at the start.
pub(crate) const SHIPPING_DISK_SHARE: f64 = 0.58;

/// Requests per second from visitors at the mean of the day.
pub(crate) const VISITORS_PER_SECOND: f64 = 24.0;

/// What visitors ask for, and its share.
pub(crate) const VISITS: [(OperationId, f64); 5] =
    [((FRONTEND, 0), 0.34), ((FRONTEND, 1), 0.36), ((FRONTEND, 2), 0.08), ((FRONTEND, 3), 0.08), ((FRONTEND, 4), 0.14)];

/// Requests per second to `admin`.
pub(crate) const ADMINS_PER_SECOND: f64 = 0.02;

/// A report is made every so many seconds, and takes so many requests.
pub(crate) const REPORT_EVERY_SECONDS: u64 = 600;
pub(crate) const REPORT_REQUESTS: usize = 24;

const fn http(method: &'static str, route: &'static str) -> Entry {
    Entry::Http { method, route }
}

const fn call(to: OperationId, timeout_ms: f64, retries: u32) -> Step {
    Step::Call { to, share: 1.0, timeout_ms, retries, optional: false }
}

const fn nice_to_have(to: OperationId, share: f64, timeout_ms: f64) -> Step {
    Step::Call { to, share, timeout_ms, retries: 0, optional: true }
}

const fn query(verb: &'static str, table: &'static str, ms: f64) -> Step {
    Step::Query { verb, table, ms }
}

const fn info(per_minute: f64, line: &'static str) -> Background {
    Background { severity: 9, per_minute, line }
}

const fn warn(per_minute: f64, line: &'static str) -> Background {
    Background { severity: 13, per_minute, line }
}

pub(crate) static SERVICES: [Service; 11] = [
    Service {
        name: "frontend",
        version: "4.12.0",
        language: Language::Node,
        instances: 3,
        cores: 0.45,
        memory_mib: 180.0,
        memory_limit_mib: 512.0,
        pool: None,
        operations: &[
            Operation {
                entry: http("GET", "/"),
                own_ms: 7.0,
                cpu_ms: 9.0,
                failures: 0.000_5,
                line: (0.3, "GET / 200 {ms} ms session={session} from {ip}"),
                counts: Some("shop.page.views"),
                steps: &[call((CATALOG, 0), 2_000.0, 1), nice_to_have((RECOMMENDATION, 0), 1.0, 800.0)],
            },
            Operation {
                entry: http("GET", "/product/{id}"),
                own_ms: 5.0,
                cpu_ms: 7.0,
                failures: 0.000_5,
                line: (0.3, "GET /product/{sku} 200 {ms} ms session={session} from {ip}"),
                counts: Some("shop.page.views"),
                steps: &[
                    call((CATALOG, 1), 2_000.0, 1),
                    call((INVENTORY, 0), 2_000.0, 1),
                    nice_to_have((RECOMMENDATION, 0), 0.4, 800.0),
                ],
            },
            Operation {
                entry: http("GET", "/cart"),
                own_ms: 4.0,
                cpu_ms: 5.0,
                failures: 0.000_5,
                line: (0.3, "GET /cart 200 {ms} ms session={session} from {ip}"),
                counts: Some("shop.page.views"),
                steps: &[call((CART, 0), 2_000.0, 1), call((CATALOG, 1), 2_000.0, 1)],
            },
            Operation {
                entry: http("POST", "/cart/items"),
                own_ms: 4.0,
                cpu_ms: 5.0,
                failures: 0.001,
                line: (0.5, "session={session} put {n} x {sku} into the cart"),
                counts: None,
                steps: &[call((INVENTORY, 0), 2_000.0, 1), call((CART, 1), 2_000.0, 0)],
            },
            Operation {
                entry: http("POST", "/checkout"),
                own_ms: 6.0,
                cpu_ms: 8.0,
                failures: 0.000_5,
                line: (1.0, "checkout finished session={session} order={order}"),
                counts: None,
                steps: &[call((CHECKOUT, 0), 12_000.0, 0)],
            },
        ],
        background: &[
            info(1.0, "asset cache refreshed, {n} entries in {ms} ms"),
            warn(0.4, "session {session} expired, redirecting to /"),
            warn(0.15, "content security policy violation reported by {ip}"),
        ],
    },
    Service {
        name: "checkout",
        version: "1.7.3",
        language: Language::Java,
        instances: 2,
        cores: 0.5,
        memory_mib: 520.0,
        memory_limit_mib: 1_024.0,
        pool: Some(Pool { database: "orders-db", system: "postgresql", size: 8, patience_ms: 1_500.0 }),
        operations: &[
            Operation {
                entry: http("POST", "/api/checkout"),
                own_ms: 11.0,
                cpu_ms: 14.0,
                failures: 0.001_5,
                line: (1.0, "order {order} placed by {user}, total {amount} EUR"),
                counts: Some("shop.orders.placed"),
                steps: &[
                    call((CART, 0), 2_000.0, 1),
                    call((INVENTORY, 1), 4_000.0, 0),
                    call((SHIPPING, 0), 3_000.0, 0),
                    call((PAYMENT, 0), 10_000.0, 0),
                    query("INSERT", "orders", 6.0),
                    Step::Publish { topic: "orders", to: (SHIPPING, 1) },
                    Step::Publish { topic: "notifications", to: (NOTIFICATION, 0) },
                    call((CART, 2), 2_000.0, 1),
                ],
            },
            Operation {
                entry: http("GET", "/api/orders/{id}"),
                own_ms: 4.0,
                cpu_ms: 4.0,
                failures: 0.0,
                line: (0.5, "order {order} read by {user}"),
                counts: None,
                steps: &[query("SELECT", "orders", 4.0)],
            },
        ],
        background: &[
            info(0.5, "exchange rates loaded, {n} currencies"),
            info(0.5, "HikariPool-1 - keepalive checked {n} connections"),
            warn(0.3, "coupon {session} is unknown, ignored"),
        ],
    },
    Service {
        name: "cart",
        version: "3.0.8",
        language: Language::DotNet,
        instances: 2,
        cores: 0.4,
        memory_mib: 140.0,
        memory_limit_mib: 384.0,
        pool: Some(Pool { database: "cart-cache", system: "redis", size: 16, patience_ms: 500.0 }),
        operations: &[
            Operation {
                entry: http("GET", "/api/cart/{user}"),
                own_ms: 1.6,
                cpu_ms: 3.0,
                failures: 0.000_5,
                line: (0.2, "cart of {user} read, {n} items"),
                counts: None,
                steps: &[query("HGETALL", "cart", 0.7)],
            },
            Operation {
                entry: http("POST", "/api/cart/{user}/items"),
                own_ms: 2.0,
                cpu_ms: 3.5,
                failures: 0.000_5,
                line: (0.5, "item {sku} added to cart of {user}"),
                counts: Some("shop.cart.items_added"),
                steps: &[query("HSET", "cart", 0.9)],
            },
            Operation {
                entry: http("DELETE", "/api/cart/{user}"),
                own_ms: 1.5,
                cpu_ms: 2.5,
                failures: 0.000_5,
                line: (0.3, "cart of {user} emptied"),
                counts: None,
                steps: &[query("DEL", "cart", 0.6)],
            },
        ],
        background: &[info(0.6, "expired {n} carts"), warn(0.1, "redis ping took {ms} ms")],
    },
    Service {
        name: "payment",
        version: "2.1.4",
        language: Language::Java,
        instances: 2,
        cores: 0.4,
        memory_mib: 460.0,
        memory_limit_mib: 896.0,
        pool: Some(Pool { database: "payments-db", system: "postgresql", size: 10, patience_ms: 1_000.0 }),
        operations: &[Operation {
            entry: http("POST", "/api/charge"),
            own_ms: 9.0,
            cpu_ms: 10.0,
            failures: 0.001,
            line: (1.0, "payment {uuid} authorised for order {order}, {amount} EUR"),
            counts: Some("shop.payments.authorised"),
            steps: &[
                Step::External {
                    peer: "bank-gateway",
                    method: "POST",
                    path: "/v2/authorisations",
                    ms: 85.0,
                    timeout_ms: 2_000.0,
                    retries: 2,
                },
                query("INSERT", "payments", 5.0),
            ],
        }],
        background: &[
            info(0.3, "key set of bank-gateway refreshed"),
            warn(0.4, "card ending {n} declined by issuer, asking for another"),
            warn(0.1, "risk score {amount} above the soft limit for {user}"),
        ],
    },
    Service {
        name: "catalog",
        version: "2.3.1",
        language: Language::Go,
        instances: 2,
        cores: 0.25,
        memory_mib: 90.0,
        memory_limit_mib: 256.0,
        pool: Some(Pool { database: "catalog-db", system: "postgresql", size: 20, patience_ms: 1_000.0 }),
        operations: &[
            Operation {
                entry: http("GET", "/api/products"),
                own_ms: 6.0,
                cpu_ms: 8.0,
                failures: 0.000_5,
                line: (0.15, "listed {n} products in {ms} ms"),
                counts: None,
                steps: &[query("SELECT", "products", 8.0)],
            },
            Operation {
                entry: http("GET", "/api/products/{id}"),
                own_ms: 2.0,
                cpu_ms: 3.5,
                failures: 0.000_5,
                line: (0.1, "product {sku} served in {ms} ms"),
                counts: None,
                steps: &[query("SELECT", "products", 2.6)],
            },
        ],
        background: &[
            info(0.5, "search index reloaded, {n} documents"),
            warn(0.3, "image of {sku} missing, placeholder used"),
        ],
    },
    Service {
        name: "inventory",
        version: "5.4.0",
        language: Language::Java,
        instances: 2,
        cores: 0.5,
        memory_mib: 480.0,
        memory_limit_mib: 1_024.0,
        pool: Some(Pool { database: "inventory-db", system: "postgresql", size: 4, patience_ms: 1_000.0 }),
        operations: &[
            Operation {
                entry: http("GET", "/api/stock/{sku}"),
                own_ms: 3.0,
                cpu_ms: 4.0,
                failures: 0.000_5,
                line: (0.1, "stock of {sku} is {n}"),
                counts: None,
                steps: &[query("SELECT", "stock", 3.2)],
            },
            Operation {
                entry: http("POST", "/api/reservations"),
                own_ms: 6.0,
                cpu_ms: 8.0,
                failures: 0.001,
                line: (0.8, "reserved {n} items for order {order}"),
                counts: Some("shop.stock.reservations"),
                steps: &[query("SELECT", "stock", 3.6), query("UPDATE", "stock", 4.5)],
            },
        ],
        background: &[
            info(0.5, "released {n} stale reservations"),
            info(0.4, "HikariPool-1 - keepalive checked {n} connections"),
            warn(0.2, "stock of {sku} is low, {n} left"),
        ],
    },
    Service {
        name: "shipping",
        version: "1.15.2",
        language: Language::Java,
        instances: 2,
        cores: 0.5,
        memory_mib: 430.0,
        memory_limit_mib: 896.0,
        pool: None,
        operations: &[
            Operation {
                entry: http("POST", "/api/quotes"),
                own_ms: 12.0,
                cpu_ms: 9.0,
                failures: 0.001,
                line: (0.5, "quote {uuid} for {n} parcels: {amount} EUR"),
                counts: None,
                steps: &[Step::Write { ms: 1.2 }],
            },
            Operation {
                entry: Entry::Consume { topic: "orders" },
                own_ms: 24.0,
                cpu_ms: 16.0,
                failures: 0.001,
                line: (1.0, "label {uuid} printed for order {order}"),
                counts: Some("shop.shipments.created"),
                steps: &[Step::Write { ms: 3.5 }],
            },
        ],
        background: &[
            info(0.5, "carrier tariffs up to date, {n} zones"),
            warn(0.25, "address of {user} could not be normalised, using it as given"),
        ],
    },
    Service {
        name: "recommendation",
        version: "0.31.0",
        language: Language::Java,
        instances: 2,
        cores: 0.6,
        memory_mib: 420.0,
        memory_limit_mib: 1_024.0,
        pool: None,
        operations: &[Operation {
            entry: http("GET", "/api/recommendations"),
            own_ms: 14.0,
            cpu_ms: 12.0,
            failures: 0.001,
            line: (0.15, "{n} recommendations for session={session} in {ms} ms"),
            counts: Some("shop.recommendations.served"),
            steps: &[call((CATALOG, 1), 500.0, 0)],
        }],
        background: &[
            info(0.3, "model 2026-w{n} active"),
            info(0.5, "cache holds {n} sessions"),
            warn(0.2, "no history for session={session}, using bestsellers"),
        ],
    },
    Service {
        name: "notification",
        version: "0.9.4",
        language: Language::Go,
        instances: 1,
        cores: 0.3,
        memory_mib: 60.0,
        memory_limit_mib: 192.0,
        pool: None,
        operations: &[Operation {
            entry: Entry::Consume { topic: "notifications" },
            own_ms: 5.0,
            cpu_ms: 4.0,
            failures: 0.002,
            line: (0.6, "mail {uuid} handed over for {user}"),
            counts: Some("shop.mails.sent"),
            steps: &[Step::External {
                peer: "smtp-relay",
                method: "POST",
                path: "/messages",
                ms: 45.0,
                timeout_ms: 5_000.0,
                retries: 1,
            }],
        }],
        background: &[warn(0.3, "mailbox of {user} bounced, will not retry")],
    },
    Service {
        name: "reporting",
        version: "1.2.0",
        language: Language::Go,
        instances: 1,
        cores: 0.5,
        memory_mib: 75.0,
        memory_limit_mib: 256.0,
        pool: None,
        operations: &[Operation {
            entry: Entry::Job { name: "stock report" },
            own_ms: 20.0,
            cpu_ms: 25.0,
            failures: 0.0,
            line: (0.5, "report page {n} written"),
            counts: None,
            steps: &[call((CATALOG, 0), 5_000.0, 1), call((INVENTORY, 0), 5_000.0, 1)],
        }],
        background: &[info(0.1, "next report is due in {n} s")],
    },
    Service {
        name: "admin",
        version: "1.0.7",
        language: Language::Node,
        instances: 1,
        cores: 0.3,
        memory_mib: 110.0,
        memory_limit_mib: 256.0,
        pool: None,
        operations: &[Operation {
            entry: http("GET", "/admin/orders/{id}"),
            own_ms: 6.0,
            cpu_ms: 8.0,
            failures: 0.01,
            line: (1.0, "{user} looked at order {order}"),
            counts: None,
            steps: &[call((CHECKOUT, 1), 5_000.0, 0)],
        }],
        background: &[warn(0.05, "login of {user} from new address {ip}")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables refer to one another by index. A wrong one would panic in the middle of a run, or call the wrong
    /// operation: every call must lead to an operation over HTTP, every topic to the one that consumes it.
    #[test]
    fn references_lead_to_operations_of_the_right_sort() {
        for (at, name) in
            [(REPORTING, "reporting"), (ADMIN, "admin"), (RECOMMENDATION, "recommendation"), (SHIPPING, "shipping")]
        {
            assert_eq!(SERVICES[at].name, name);
        }
        for operation in SERVICES.iter().flat_map(|service| service.operations) {
            for step in operation.steps {
                match step {
                    Step::Call { to, .. } => {
                        assert!(matches!(SERVICES[to.0].operations[to.1].entry, Entry::Http { .. }));
                    }
                    Step::Publish { topic, to } => {
                        let consumer = &SERVICES[to.0].operations[to.1].entry;
                        assert!(matches!(consumer, Entry::Consume { topic: consumed } if consumed == topic));
                    }
                    Step::Query { .. } | Step::External { .. } | Step::Write { .. } => {}
                }
            }
        }
        let queries = |service: &Service| {
            service
                .operations
                .iter()
                .flat_map(|operation| operation.steps)
                .any(|step| matches!(step, Step::Query { .. }))
        };
        assert!(SERVICES.iter().all(|service| queries(service) == service.pool.is_some()));
        assert!((VISITS.iter().map(|visit| visit.1).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
