//! The program behind the command `foreshock`: command line, configuration, wiring, drain. It takes no decisions of its own.

pub mod backtest;
pub mod cli;
pub mod config;
pub mod demo;
pub mod detector;
pub mod detectors;
pub mod live;
pub mod pipeline;
pub mod replay;
mod run;
pub mod selfcheck;
pub mod settings;
pub mod telemetry;
pub mod templates;
