//! How kube-apiserver divides its concurrency.

use std::io::{self, Write};

use crate::report::seats::Seats;

use super::page::Page;

impl Page {
    /// What each priority level gets of a server's concurrency.
    pub(super) fn seats(&self, out: &mut dyn Write, server: &Seats) -> io::Result<()> {
        self.head(
            out,
            &format!(
                "SEATS  of {}: {} requests at once, version {}",
                server.subject, server.limit, server.version
            ),
        )?;
        let mut table = crate::render::table(
            self.terminal,
            &["LEVEL", "SHARE", "KEEPS", "MOST", "ONE REQUEST"],
        );
        for (level, seats) in &server.levels {
            table.add_row(vec![
                (*level).to_owned(),
                seats.nominal.to_string(),
                seats.min.to_string(),
                seats.max.to_string(),
                seats.request_max.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        for line in crate::render::trimmed(&table).lines() {
            writeln!(out, "  {line}")?;
        }
        self.para(
            out,
            "  ",
            "SHARE: its own seats; KEEPS: what is left when all that it may lend is lent; MOST: with everything borrowed; \
             ONE REQUEST: what a single request may take. Levels that were added to the cluster make every share smaller.",
        )
    }
}
