//! Adds tables row by row and cell by cell, within a bound of rows.

use std::collections::BTreeMap;

use crate::evidence::{Cell, Row, Table};

/// Seconds that two readings cover, and both together: they may overlap.
#[derive(Clone, Copy)]
pub(super) struct Secs {
    pub(super) a: f64,
    pub(super) b: f64,
    pub(super) all: f64,
}

/// Columns of a table that hold the largest value, not a sum.
fn is_extreme(column: &str) -> bool {
    column.starts_with("max_") || column.starts_with("last_") || column.starts_with("limit_")
}

/// Columns that hold a count already divided by the seconds of the reading.
fn is_rate(column: &str) -> bool {
    column.ends_with("per_sec") && !is_extreme(column)
}

/// Adds the rows of `b` to those of `a`. The lightest above `most` go to `other`.
pub(super) fn add(a: &mut Table, b: &Table, secs: Option<Secs>, most: usize) {
    let mut rest = b.clone();
    if let Some(secs) = secs.filter(|secs| secs.all > 0.0) {
        spread(a, secs.a / secs.all);
        spread(&mut rest, secs.b / secs.all);
    }
    a.rows.append(&mut rest.rows);
    a.rows.sort_by(|x, y| x.key.cmp(&y.key));
    let mut rows: Vec<Row> = Vec::with_capacity(a.rows.len());
    for row in std::mem::take(&mut a.rows) {
        match rows.last_mut() {
            Some(last) if last.key == row.key => add_row(last, &row),
            _ => rows.push(row),
        }
    }
    a.rows = rows;
    if let Some(other) = &rest.other {
        add_row(a.other.get_or_insert_with(|| Row::new("other")), other);
    }
    // Each lacks at most this share of its own total, so both lack no more of the common one.
    a.error = a.error.max(rest.error);
    prune(a, most);
}

/// Makes the rates of a reading those of a longer time, of which it covers this share.
fn spread(table: &mut Table, share: f64) {
    for row in table.rows.iter_mut().chain(&mut table.other) {
        // Rows of one pair of scrapes have seconds of their own.
        if row.cells.contains_key("secs") {
            continue;
        }
        for (column, cell) in &mut row.cells {
            if let Cell::Num(rate) = cell
                && is_rate(column)
            {
                *rate *= share;
            }
        }
    }
}

fn add_row(into: &mut Row, from: &Row) {
    for (column, cell) in &from.cells {
        let Some(slot) = into.cells.get_mut(column) else {
            into.cells.insert(column.clone(), cell.clone());
            continue;
        };
        match (&mut *slot, cell) {
            (Cell::Num(x), Cell::Num(y)) if is_extreme(column) => *x = x.max(*y),
            (Cell::Num(x), Cell::Num(y)) => *x += y,
            // Texts that differ: the smaller one, so that the order is no matter.
            (Cell::Text(old), Cell::Text(new)) if new < old => *slot = cell.clone(),
            (Cell::Text(_), Cell::Num(_)) => *slot = cell.clone(),
            (Cell::Text(_) | Cell::Num(_), Cell::Text(_)) => {}
        }
    }
}

/// Moves the lightest rows to `other` until `most` are left. A row that comes back later lacks what
/// it had here, so the error rises by the heaviest of them.
fn prune(table: &mut Table, most: usize) {
    if table.rows.len() <= most {
        return;
    }
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for row in table.rows.iter().chain(&table.other) {
        for (column, value) in counts(row) {
            *totals.entry(column).or_default() += value;
        }
    }
    let weight = |row: &Row| {
        let shares = counts(row).filter_map(|(column, value)| {
            let total = totals.get(column).filter(|total| **total > 0.0)?;
            Some(value / total)
        });
        shares.fold(0.0, f64::max)
    };
    let mut order: Vec<(f64, usize)> = table.rows.iter().map(weight).zip(0..).collect();
    // Rows are sorted by key, which decides between equal ones.
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let light = order.split_off(most);
    let heaviest = light.first().map_or(0.0, |(share, _)| *share);
    table.error = (table.error + heaviest).min(1.0);
    let mut goes = vec![false; table.rows.len()];
    for (_, at) in light {
        if let Some(goes) = goes.get_mut(at) {
            *goes = true;
        }
    }
    for (row, goes) in std::mem::take(&mut table.rows).into_iter().zip(goes) {
        if goes {
            add_row(table.other.get_or_insert_with(|| Row::new("other")), &row);
        } else {
            table.rows.push(row);
        }
    }
}

/// The numbers of a row that add up.
fn counts(row: &Row) -> impl Iterator<Item = (&str, f64)> {
    row.cells.iter().filter_map(|(column, cell)| match cell {
        Cell::Num(value) if value.is_finite() && !is_extreme(column) => {
            Some((column.as_str(), value.abs()))
        }
        _ => None,
    })
}
