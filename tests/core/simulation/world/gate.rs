//! The application beside a process, and its health checks.

use bellwether::gate::Unhealthy;

use super::{Happening, World};

impl World {
    /// One check of the application, as `health::watch` makes them.
    pub(super) fn check_health(&mut self, node: usize, life: u32) {
        let Some(rules) = self.plan.gate else { return };
        let local = self.local(node);
        let Some(process) = self.process(node, life) else { return };
        let paused = process.is_paused();
        let outcome = if process.healthy { Ok(()) } else { Err(Unhealthy("unwell".to_owned())) };
        if let Some((keeper, gate)) = process.gate.as_mut().filter(|_| !paused) {
            let was_open = gate.is_open(local);
            keeper.record(local, local, &outcome);
            let is_open = gate.is_open(local);
            process.well =
                if process.healthy { (local, 0) } else { (process.well.0, process.well.1 + 1) };
            if was_open != is_open {
                process.gate_turned = local;
                process.known_closed &= !is_open;
                self.tally.count(if is_open { "gates opened" } else { "gates closed" });
            }
        }
        let period = self.host(node).clock.span(rules.period);
        self.after(period, Happening::Check { node, life });
    }
}
