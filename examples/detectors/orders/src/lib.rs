//! Tells when orders are placed but not paid for: a rule of the business, which no detector that looks at one series can know.
//!
//! Orders and payments rise and fall together all day. When the payment provider begins to refuse every fourth card while a sale
//! brings more customers, both series look ordinary by themselves; only their ratio does not. So this detector learns which
//! share of orders is paid for within `horizon_seconds`, and asks of each horizon how likely so few payments are at that share.

use foreshock_detector::{
    About, Detector, Fault, Finding, Kind, Series, Setup, Severity, State, Verdict, Window, config_schema, math,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Layout of the saved state. Raise it whenever [`Ledger`] changes.
const STATE_SCHEMA: u32 = 1;
/// Series of either kind that are added up; further ones are left out.
const MOST_SERIES: usize = 1_000;
/// Windows of a horizon; a longer one is cut.
const MOST_WINDOWS: usize = 10_000;

/// What a user can set.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The counter of orders.
    #[schemars(length(min = 1))]
    pub orders: String,
    /// The counter of payments.
    #[schemars(length(min = 1))]
    pub payments: String,
    /// Over how long orders and payments are added up, in seconds. Longer than a customer takes to pay.
    #[schemars(range(min = 10.0, max = 86_400.0))]
    pub horizon_seconds: f64,
    /// Horizons that are only learned.
    #[schemars(range(min = 1, max = 1_000))]
    pub warmup_horizons: u32,
    /// Surprise from which it is said aloud: 6 is one horizon in a million.
    #[schemars(range(min = 2.0, max = 15.0))]
    pub threshold: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            orders: "orders.placed".into(),
            payments: "payments.received".into(),
            horizon_seconds: 120.0,
            warmup_horizons: 5,
            threshold: 6.0,
        }
    }
}

/// The model of one service.
#[derive(Debug)]
pub struct UnpaidOrders {
    config: Config,
    step_seconds: f64,
    /// The horizon in windows.
    horizon: usize,
    /// What each open series counts.
    roles: BTreeMap<u32, Role>,
    ledger: Ledger,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Orders,
    Payments,
}

/// What was learned; this is what is saved.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Ledger {
    /// Orders and payments of the last windows, the newest at the end.
    recent: VecDeque<(f64, f64)>,
    /// Orders and payments of all horizons that were ordinary, the older ones counting less and less.
    orders: f64,
    payments: f64,
    windows: u64,
}

impl Detector for UnpaidOrders {
    type Config = Config;

    fn about() -> About {
        About {
            name: "unpaid-orders",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: config_schema::<Config>(),
            state_schema: STATE_SCHEMA,
            warmup_windows: 60,
            kinds: vec![Kind::Rate],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        if setup.config.orders == setup.config.payments {
            return Err(Fault::BadConfig("orders and payments are the same counter".into()));
        }
        let ledger = match saved {
            Some(state) => state.decode(STATE_SCHEMA)?,
            None => Ledger::default(),
        };
        let step_seconds = setup.step_seconds();
        let horizon = (math::ceil(setup.config.horizon_seconds / step_seconds) as usize).clamp(1, MOST_WINDOWS);
        Ok(Self { config: setup.config, step_seconds, horizon, roles: BTreeMap::new(), ledger })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        for id in &window.closed {
            self.roles.remove(id);
        }
        for series in &window.opened {
            self.follow(series);
        }
        let (mut orders, mut payments) = (0.0, 0.0);
        for row in window.rows() {
            match self.roles.get(&row.id) {
                Some(Role::Orders) => orders += row.value * self.step_seconds,
                Some(Role::Payments) => payments += row.value * self.step_seconds,
                None => {}
            }
        }
        let mut verdict = Verdict::silent(window);
        // Without a counter of orders there is nothing to compare; that payments are silent is just what is looked for.
        if !self.roles.values().any(|role| *role == Role::Orders) {
            return Ok(verdict);
        }
        let Some(score) = self.ledger.judge(orders, payments, self.horizon, &self.config) else { return Ok(verdict) };
        for (of, id) in verdict.scores.iter_mut().zip(&window.ids) {
            if self.roles.get(id) == Some(&Role::Payments) {
                *of = score;
            }
        }
        if score >= self.config.threshold {
            verdict.findings.push(self.finding(score));
        }
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(STATE_SCHEMA, &self.ledger)
    }
}

foreshock_detector::export!(UnpaidOrders);

impl UnpaidOrders {
    fn follow(&mut self, series: &Series) {
        let role = match &series.name {
            name if *name == self.config.orders => Role::Orders,
            name if *name == self.config.payments => Role::Payments,
            _ => {
                self.roles.remove(&series.id);
                return;
            }
        };
        if self.roles.len() < MOST_SERIES {
            self.roles.insert(series.id, role);
        }
    }

    fn finding(&self, score: f64) -> Finding {
        let (orders, payments) = self.ledger.horizon();
        let share = self.ledger.share();
        let seconds = self.ledger.recent.len() as f64 * self.step_seconds;
        // Payments come first: the numbers are theirs. A finding names at most 64 series.
        let of = |wanted: Role| self.roles.iter().filter(move |(_, role)| **role == wanted).map(|(id, _)| *id);
        let ids: Vec<u32> = of(Role::Payments).take(32).chain(of(Role::Orders).take(32)).collect();
        let finite = |number: f64| Some(number).filter(|number| number.is_finite());
        Finding {
            ids,
            kind: "unpaid_orders".into(),
            severity: if payments < orders * share / 2.0 { Severity::Critical } else { Severity::Error },
            score,
            observed: finite(payments / seconds),
            expected: finite(orders * share / seconds),
            lower: None,
            upper: None,
            forecast: None,
            summary: format!(
                "of {orders:.0} orders in {seconds:.0} s only {payments:.0} were paid for, where {:.0} % are usual",
                share * 100.0
            ),
            evidence: vec![
                ("share paid".into(), format!("{:.3}", payments / orders)),
                ("usual share".into(), format!("{share:.3}")),
            ],
        }
    }
}

impl Ledger {
    /// Takes a window's orders and payments, and says how surprising the horizon that ends with it is.
    fn judge(&mut self, orders: f64, payments: f64, horizon: usize, config: &Config) -> Option<f64> {
        self.recent.push_back((orders, payments));
        while self.recent.len() > horizon {
            self.recent.pop_front();
        }
        self.windows = self.windows.saturating_add(1);
        let is_learned = self.windows > u64::from(config.warmup_horizons).saturating_mul(horizon as u64);
        let (orders_now, payments_now) = self.horizon();
        let score = surprise(payments_now, orders_now, self.share());
        // What is odd is not taken for usual.
        if !is_learned || score < config.threshold / 2.0 {
            let keep = 1.0 - 1.0 / (horizon as f64 * 50.0);
            self.orders = self.orders * keep + orders;
            self.payments = self.payments * keep + payments;
        }
        is_learned.then_some(score).filter(|score| score.is_finite())
    }

    fn horizon(&self) -> (f64, f64) {
        self.recent.iter().fold((0.0, 0.0), |sum, window| (sum.0 + window.0, sum.1 + window.1))
    }

    /// The usual share of orders that are paid for.
    fn share(&self) -> f64 {
        (self.payments / self.orders.max(1.0)).clamp(0.001, 0.999)
    }
}

/// How surprising it is that of so many orders so few are paid for, each with the probability `share`: Chernoff's bound on the
/// binomial's lower tail, exp(-n D(k/n || share)) with Kullback and Leibler's divergence D.
fn surprise(payments: f64, orders: f64, share: f64) -> f64 {
    let paid = payments / orders.max(1.0);
    if !paid.is_finite() || paid >= share {
        return 0.0;
    }
    let term = |a: f64, b: f64| if a <= 0.0 { 0.0 } else { a * math::log(a / b) };
    let divergence = term(paid, share) + term(1.0 - paid, 1.0 - share);
    (orders * divergence / core::f64::consts::LN_10).clamp(0.0, 16.0)
}
