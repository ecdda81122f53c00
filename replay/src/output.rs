//! Writes the report where the arguments want it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::args::Arguments;
use crate::report::{Report, html};

/// All that the report is written to. It is opened before the logs are read, which may take long.
pub(crate) struct Outputs {
    /// `None` if another form of the report goes to standard output.
    text: Option<Output>,
    json: Option<Output>,
    html: Option<Output>,
}

struct Output {
    name: String,
    writer: Box<dyn Write>,
}

impl Outputs {
    /// # Errors
    ///
    /// If a file cannot be written. The text names the argument.
    pub(crate) fn open(arguments: &Arguments) -> io::Result<Outputs> {
        let open = |argument, file: &Option<_>| {
            file.as_deref()
                .map(|file| Output::open(argument, file))
                .transpose()
        };
        let json = open("--json", &arguments.json)?;
        let html = open("--html", &arguments.html)?;
        let is_taken = [&arguments.json, &arguments.html]
            .into_iter()
            .any(|file| file.as_deref().is_some_and(is_stdout));
        let text = (!is_taken).then(Output::stdout);
        Ok(Outputs { text, json, html })
    }

    /// Writes the report to each. One that fails takes nothing from the others.
    ///
    /// # Errors
    ///
    /// The first that occurs.
    pub(crate) fn print(self, report: &Report) -> io::Result<()> {
        let mut results = Vec::new();
        if let Some(output) = self.json {
            let json = serde_json::to_string_pretty(report)?;
            results.push(output.write(&(json + "\n")));
        }
        if let Some(output) = self.html {
            results.push(output.write(&html::page(report)));
        }
        if let (Some(output), true) = (self.text, report.requests > 0) {
            results.push(output.write(&report.to_string()));
        }
        results.into_iter().collect()
    }
}

/// Whether the name of an output stands for standard output.
pub(crate) fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

impl Output {
    fn open(argument: &str, file: &Path) -> io::Result<Output> {
        if is_stdout(file) {
            return Ok(Output::stdout());
        }
        let name = format!("{argument} {}", file.display());
        match File::create(file) {
            Ok(file) => Ok(Output {
                name,
                writer: Box::new(file),
            }),
            Err(error) => Err(in_output(&name, &error)),
        }
    }

    fn stdout() -> Output {
        Output {
            name: "standard output".to_owned(),
            writer: Box::new(io::stdout()),
        }
    }

    /// Writes a text. A reader that closes a pipe early is no error.
    fn write(mut self, text: &str) -> io::Result<()> {
        let written = self.writer.write_all(text.as_bytes());
        match written.and_then(|()| self.writer.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(in_output(&self.name, &error))
            }
            _ => Ok(()),
        }
    }
}

fn in_output(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}
