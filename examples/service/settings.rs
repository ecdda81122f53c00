//! Settings from environment variables. An invalid value is an error and stops the service. A
//! fallback to the default would hide a mistyped limit.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fmt::{self, Display},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// Looks up a variable. It is [`environment`], or a function of a test.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Looks up a variable in the environment of the process.
pub fn environment(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// A variable for a whole number from `from` to `to`.
pub struct Setting<T> {
    pub name: &'static str,
    pub default: T,
    pub from: T,
    pub to: T,
}

impl<T: Copy + Display + FromStr + PartialOrd> Setting<T> {
    pub fn read(&self, environment: &Environment<'_>) -> Result<T, InvalidSetting> {
        let Setting {
            name,
            default,
            from,
            to,
        } = *self;
        let expected = || format!("a whole number from {from} to {to}");
        let parse = |text: &str| {
            let number = whole_number(text)?;
            (from..=to).contains(&number).then_some(number)
        };
        read(environment, name, default, expected, parse)
    }
}

/// Parses ASCII digits without a sign and without leading zeros, so each number has one spelling.
///
/// `str::parse` alone accepts `+5` and `00005`.
fn whole_number<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    if !is_plain || has_leading_zero {
        return None;
    }
    text.parse().ok()
}

/// The variable for the address to listen on. Default: 127.0.0.1, for clients on this machine only.
pub const HOST: &str = "HOST";

/// Returns the setting `PORT`. 0 picks a free port.
pub const fn port(default: u16) -> Setting<u16> {
    Setting {
        name: "PORT",
        default,
        from: 0,
        to: u16::MAX,
    }
}

/// Reads `HOST` and `PORT`.
///
/// `HOST` is an address without brackets, zone or port. An IPv4-mapped IPv6 address
/// (`::ffff:127.0.0.1`) means the IPv4 address.
pub fn address(
    port: &Setting<u16>,
    environment: &Environment<'_>,
) -> Result<SocketAddr, InvalidSetting> {
    let expected = || "an IPv4 or IPv6 address".to_owned();
    let parse = |text: &str| Some(text.parse::<IpAddr>().ok()?.to_canonical());
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let host = read(environment, HOST, host, expected, parse)?;
    Ok(SocketAddr::new(host, port.read(environment)?))
}

/// Reads a variable of any type. `expected` says what `parse` takes.
pub fn read<T>(
    environment: &Environment<'_>,
    name: &'static str,
    default: T,
    expected: impl FnOnce() -> String,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, InvalidSetting> {
    let Some(value) = environment(name) else {
        return Ok(default);
    };
    value
        .to_str()
        .and_then(parse)
        .ok_or_else(|| InvalidSetting {
            name,
            expected: expected(),
            value,
        })
}

/// A variable with an invalid value.
#[derive(Debug)]
pub struct InvalidSetting {
    name: &'static str,
    value: OsString,
    expected: String,
}

impl Error for InvalidSetting {}

impl Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidSetting {
            name,
            value,
            expected,
        } = self;
        write!(f, "{name} is {value:?}; expected {expected}")
    }
}
