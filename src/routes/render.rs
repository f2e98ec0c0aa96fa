//! The whole table, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::compile::Compiled;
use super::table::{Host, Route};

/// The table as text: hosts with their paths, in the order of precedence, and where they lead; then what is to be told.
#[must_use]
pub fn text(compiled: &Compiled) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut out, compiled);
    out
}

fn write_text(out: &mut String, compiled: &Compiled) -> std::fmt::Result {
    for host in hosts(compiled) {
        let tls = if host.options.tls { "  (TLS)" } else { "" };
        writeln!(out, "{}{tls}", host.name)?;
        let width = host.paths.routes().iter().map(|route| route.path.chars().count()).max().unwrap_or(0);
        for route in host.paths.routes() {
            let path_type = format!("{:?}", route.path_type);
            let from = format!("{}/{}", route.namespace, route.ingress);
            writeln!(
                out,
                "  {:<width$}  {path_type:<22}  {from} -> {}:{}  {}",
                route.path,
                route.service,
                route.service_port,
                target(compiled, route)
            )?;
        }
    }
    let table = &compiled.table;
    if let Some(backend) = table.default_backend.and_then(|index| table.backend(index)) {
        writeln!(out, "default backend: {}/{}:{}  {}", backend.namespace, backend.service, backend.port, backend.endpoints)?;
    }
    if !compiled.findings.is_empty() {
        writeln!(out)?;
    }
    for finding in &compiled.findings {
        writeln!(out, "! {finding}")?;
    }
    if !compiled.foreign.is_empty() {
        writeln!(out)?;
    }
    for (key, why) in &compiled.foreign {
        writeln!(out, "not ours: Ingress {key}: {why}")?;
    }
    Ok(())
}

/// The same as JSON.
#[must_use]
pub fn json(compiled: &Compiled) -> Value {
    let route = |route: &Route| {
        json!({
            "path": route.path,
            "pathType": route.path_type,
            "ingress": format!("{}/{}", route.namespace, route.ingress),
            "service": route.service,
            "port": route.service_port,
            "endpoints": target(compiled, route),
        })
    };
    let host = |host: &Host| {
        json!({
            "host": host.name,
            "tls": host.options.tls,
            "routes": host.paths.routes().iter().map(route).collect::<Vec<_>>(),
        })
    };
    let states = compiled.ingresses.iter().map(|state| {
        json!({
            "ingress": state.key.to_string(),
            "refused": state.refused,
            "routed": state.routed,
            "live": state.is_live(&compiled.table),
        })
    });
    let foreign = compiled.foreign.iter().map(|(key, why)| json!({"ingress": key.to_string(), "because": why.to_string()}));
    json!({
        "hosts": hosts(compiled).into_iter().map(host).collect::<Vec<_>>(),
        "ingresses": states.collect::<Vec<_>>(),
        "notOurs": foreign.collect::<Vec<_>>(),
        "findings": compiled.findings,
    })
}

/// By name; wildcards come after all names, `_` last.
fn hosts(compiled: &Compiled) -> Vec<&Host> {
    let hosts = &compiled.table.hosts;
    let mut all: Vec<&Host> = hosts.exact.values().chain(hosts.wildcard.values()).map(|host| &**host).collect();
    all.sort_by_key(|host| (host.name.starts_with('*'), &host.name));
    all.push(&hosts.default);
    all
}

fn target(compiled: &Compiled, route: &Route) -> String {
    match route.backend.and_then(|index| compiled.table.backend(index)) {
        Some(backend) => backend.endpoints.to_string(),
        None => "503".to_owned(),
    }
}
