//! Prints the report as text, policies side by side.

use std::fmt;

use super::numbers::{counted, percent};
use super::{Class, Outcome, Report, Suggestion};

/// The width of the first column.
const LABEL: usize = 24;

/// How many files are named.
const FILES: usize = 5;

/// The width of a column of a policy.
const COLUMN: usize = 18;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "WARNING: {warning}")?;
        }
        for file in &self.files {
            if let Some(error) = &file.error {
                writeln!(f, "ERROR: {}: {error}", file.name)?;
            }
        }
        row(f, "log", self.log())?;
        row(f, "read as", &self.reading)?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            row(f, "first request", first)?;
            row(f, "last request", last)?;
        }
        row(f, "requests", self.requests)?;
        row(f, "clients", self.clients)?;
        row(f, "late", self.late)?;
        row(f, "without a key", self.without_key)?;
        row(f, "malformed", self.malformed)?;
        for line in self.files.iter().flat_map(|file| &file.shown) {
            writeln!(f, "  {line}")?;
        }
        self.write_policies(f)?;
        self.write_classes(f)?;
        for (letter, outcome) in self.lettered() {
            outcome.write_worst(letter, f)?;
        }
        if !self.suggestions.is_empty() {
            writeln!(
                f,
                "\nthe tightest round policies, each with as much burst as units:"
            )?;
        }
        self.suggestions
            .iter()
            .try_for_each(|suggestion| suggestion.fmt(f))
    }
}

impl Report {
    /// Returns the names of the files, or of the first few.
    fn log(&self) -> String {
        let names = self.files.iter().map(|file| file.name.as_str());
        let shown: Vec<_> = names.take(FILES).collect();
        let more = self.files.len() - shown.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        shown.join(", ") + &more
    }

    /// Returns the policies with a name for each, short enough to head a column.
    fn lettered(&self) -> impl Iterator<Item = (String, &Outcome)> {
        self.policies.iter().enumerate().map(|(index, outcome)| {
            let letter = match u8::try_from(index) {
                Ok(index @ 0..26) => char::from(b'A' + index).to_string(),
                _ => format!("#{}", index + 1),
            };
            (letter, outcome)
        })
    }

    fn write_policies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\npolicies:")?;
        for (letter, outcome) in self.lettered() {
            writeln!(f, "  {letter}  {}", outcome.policy)?;
        }
        writeln!(f)?;
        let letters = self.lettered().map(|(letter, _)| letter);
        columns(f, "", letters)?;
        let policies = self.policies.iter();
        columns(
            f,
            "admitted",
            policies.clone().map(|policy| policy.admitted),
        )?;
        columns(f, "denied", policies.clone().map(|policy| policy.denied))?;
        columns(
            f,
            "  of the requests",
            policies
                .clone()
                .map(|policy| percent(policy.denied, self.requests)),
        )?;
        columns(
            f,
            "clients touched",
            policies.clone().map(|policy| policy.touched),
        )?;
        columns(
            f,
            "  of the clients",
            policies
                .clone()
                .map(|policy| percent(policy.touched, self.clients)),
        )?;
        let busiest = policies.clone().map(|policy| match policy.busiest {
            // The date and the time of day, without seconds.
            Some(minute) => minute.start.to_string()[..16].replace('T', " "),
            None => "none".to_owned(),
        });
        columns(f, "busiest minute, UTC", busiest)?;
        let denied = policies
            .clone()
            .map(|policy| policy.busiest.map_or(0, |minute| minute.denied));
        columns(f, "  denied in it", denied)?;
        columns(
            f,
            "stored at the peak",
            policies.clone().map(|policy| policy.stored_at_peak),
        )?;
        columns(
            f,
            "stored at the end",
            policies.map(|policy| policy.stored_at_end),
        )
    }

    fn write_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nclients by their number of requests:")?;
        if self.classes.is_empty() {
            return writeln!(f, "  none");
        }
        for class in &self.classes {
            let Class {
                at_least, at_most, ..
            } = class;
            writeln!(
                f,
                "  {at_least} to {at_most}: {}, {} requests ({})",
                counted(class.clients, "client"),
                class.requests,
                percent(class.requests, self.requests),
            )?;
            columns(f, "    clients touched", &class.touched)?;
            columns(f, "    requests denied", &class.denied)?;
            let shares = class
                .denied
                .iter()
                .map(|denied| percent(*denied, class.requests));
            columns(f, "      of theirs", shares)?;
        }
        Ok(())
    }
}

impl Outcome {
    fn write_worst(&self, letter: String, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nworst clients under {letter}:")?;
        if self.worst.is_empty() {
            return writeln!(f, "  none");
        }
        for client in &self.worst {
            let (denied, admitted, key) = (client.denied, client.admitted, client.key.as_str());
            // A key of a log may hold what steers a terminal.
            let key = key.escape_debug();
            writeln!(f, "  {denied:>8} denied {admitted:>8} admitted  {key}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Suggestion {
            percent,
            per,
            policy,
            tighter,
        } = self;
        write!(f, "  at least {percent}% admitted, per {per}: ")?;
        match policy {
            Some(policy) => write!(f, "{}, denied {}", policy.policy, policy.denied)?,
            None => f.write_str("none of those that were tried")?,
        }
        if let Some(tighter) = tighter {
            write!(f, " ({} denied {})", tighter.policy, tighter.denied)?;
        }
        writeln!(f)
    }
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, value: impl fmt::Display) -> fmt::Result {
    // The padding must include the colon.
    let label = format!("{label}:");
    writeln!(f, "{label:<LABEL$}{value}")
}

fn columns<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    write!(f, "{label:<LABEL$}")?;
    for value in values {
        write!(f, "{value:>COLUMN$}")?;
    }
    writeln!(f)
}
