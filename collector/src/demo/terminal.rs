//! The terminal: taken over on opening, given back on drop, even when the demo fails.

use anyhow::{Context, Result};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::{
        event::{self, Event, KeyCode, KeyModifiers},
        terminal,
    },
};
use std::time::Duration;

/// The screen as long as the demo has it.
pub(super) struct Terminal {
    inner: DefaultTerminal,
}

impl Terminal {
    pub(super) fn open() -> Result<Self> {
        let inner = ratatui::try_init().context("can't take over the terminal (try --plain)")?;
        Ok(Self { inner })
    }

    pub(super) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.inner.draw(render).context("can't draw")?;
        Ok(())
    }

    /// Whether `q`, Escape or Ctrl-C was pressed; raw mode turns Ctrl-C into a key.
    pub(super) fn wants_to_stop(&self) -> Result<bool> {
        while event::poll(Duration::ZERO).context("can't read keys")? {
            if let Event::Key(key) = event::read().context("can't read keys")? {
                let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// How many columns the terminal has; `None` if it does not say.
pub(super) fn width() -> Option<usize> {
    terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
