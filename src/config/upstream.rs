//! ingress-nginx's own command line, taken as it is: `/nginx-ingress-controller --publish-service=… --v=2 …`.
//!
//! Flags that mean something here are flags of `landfall ingress` under the same name. The others are listed here with the
//! reason why they change nothing; they are dropped with a warning and never end the process (ingress-nginx, `pkg/flags`).

/// A flag that was given and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// With its dashes, without its value.
    pub flag: String,
    /// Why it changes nothing.
    pub reason: &'static str,
}

/// The program's name in ingress-nginx's images.
const PROGRAM: &str = "nginx-ingress-controller";

const NO_WEBHOOK: &str = "Ingresses are checked when they are read; there is no webhook";
const NO_NGINX: &str = "it tunes nginx, and there is none";
const ALWAYS_ON: &str = "metrics are always served";
const NEXT: &str = "not supported yet";

/// Flags of ingress-nginx without a meaning here: name, whether a value follows when there is no `=`, reason.
const IGNORED: &[(&str, bool, &str)] = &[
    ("validating-webhook", true, NO_WEBHOOK),
    ("validating-webhook-certificate", true, NO_WEBHOOK),
    ("validating-webhook-key", true, NO_WEBHOOK),
    ("disable-full-test", false, NO_WEBHOOK),
    ("deep-inspect", false, "paths are data here, never configuration text"),
    ("enable-annotation-validation", false, "annotations are always validated"),
    ("annotations-prefix", true, NEXT),
    ("apiserver-host", true, "give --kubeconfig, or run in a pod with a service account"),
    ("certificate-authority", true, "give --kubeconfig, or run in a pod with a service account"),
    ("tcp-services-configmap", true, NEXT),
    ("udp-services-configmap", true, NEXT),
    ("watch-namespace-selector", true, NEXT),
    ("default-server-port", true, "the built-in 404 page needs no port"),
    ("ssl-passthrough-proxy-port", true, NEXT),
    ("enable-ssl-passthrough", false, NEXT),
    ("enable-ssl-chain-completion", false, "certificates are sent as the Secret has them"),
    ("enable-topology-aware-routing", false, NEXT),
    ("health-check-path", true, "it is /healthz"),
    ("health-check-timeout", true, "health is answered from memory"),
    ("status-port", true, NO_NGINX),
    ("stream-port", true, NO_NGINX),
    ("profiler-port", true, NO_NGINX),
    ("profiler-address", true, NO_NGINX),
    ("profiling", false, NO_NGINX),
    ("internal-logger-address", true, NO_NGINX),
    ("dynamic-configuration-retries", true, "nothing is ever reloaded"),
    ("sync-period", true, "changes are watched, not polled"),
    ("sync-rate-limit", true, "changes are in force at once"),
    ("disable-sync-events", false, "there are no sync events"),
    ("status-update-interval", true, "the status is written when it changes"),
    ("update-status-on-shutdown", false, "the status stays while the load balancer does"),
    ("report-node-internal-ip-address", false, "give --publish-service or --publish-status-address"),
    ("post-shutdown-grace-period", true, "the process ends when its last request has"),
    ("enable-metrics", false, ALWAYS_ON),
    ("metrics-per-host", false, ALWAYS_ON),
    ("metrics-per-undefined-host", false, "requests for hosts of no Ingress are counted under no host"),
    ("report-status-classes", false, ALWAYS_ON),
    ("exclude-socket-metrics", true, ALWAYS_ON),
    ("time-buckets", true, ALWAYS_ON),
    ("length-buckets", true, ALWAYS_ON),
    ("size-buckets", true, ALWAYS_ON),
    ("bucket-factor", true, ALWAYS_ON),
    ("max-buckets", true, ALWAYS_ON),
    ("monitor-max-batch-size", true, ALWAYS_ON),
    ("shutdown-grace-period-jitter", true, NO_NGINX),
    ("maxmind-edition-ids", true, NEXT),
    ("maxmind-license-key", true, NEXT),
    ("maxmind-mirror", true, NEXT),
    ("maxmind-retries-count", true, NEXT),
    ("maxmind-retries-timeout", true, NEXT),
    ("v", true, "give --log-level"),
    ("vmodule", true, "give --log-level"),
    ("logtostderr", false, "logs go to standard error"),
    ("alsologtostderr", false, "logs go to standard error"),
    ("stderrthreshold", true, "give --log-level"),
    ("log_dir", true, "logs go to standard error"),
    ("log_file", true, "logs go to standard error"),
    ("log_file_max_size", true, "logs go to standard error"),
    ("log_backtrace_at", true, "give --log-level"),
    ("add_dir_header", false, "give --log-format"),
    ("one_output", false, "logs go to standard error"),
    ("skip_headers", false, "give --log-format"),
    ("skip_log_headers", false, "give --log-format"),
];

/// Rewrites ingress-nginx's command line to ours; any other is returned as it is.
///
/// `known` says whether `landfall ingress` has a flag of this name. Under ingress-nginx's program name a flag that neither
/// has is dropped, too; under our own it is left for the parser to refuse, since it must be a mistake.
#[must_use]
pub fn translate(arguments: &[String], known: impl Fn(&str) -> bool) -> (Vec<String>, Vec<Ignored>) {
    let Some((program, rest)) = arguments.split_first() else { return (Vec::new(), Vec::new()) };
    let is_upstream = |argument: &str| argument.rsplit('/').next() == Some(PROGRAM);
    let (lenient, rest) = match rest {
        _ if is_upstream(program) => (true, rest),
        [first, rest @ ..] if is_upstream(first) => (true, rest),
        [first, rest @ ..] if first == "ingress" => (false, rest),
        _ => return (arguments.to_vec(), Vec::new()),
    };
    let (mut kept, mut ignored) = (vec![program.clone(), "ingress".to_owned()], Vec::new());
    let mut rest = rest.iter().peekable();
    while let Some(argument) = rest.next() {
        let Some((name, has_value)) = flag(argument) else {
            kept.push(argument.clone());
            continue;
        };
        let listed = IGNORED.iter().find(|(flag, ..)| *flag == name);
        let (takes_value, reason) = match listed {
            _ if known(name) => {
                // Go takes one dash as well as two.
                let long = argument.starts_with("--") || name.len() == 1;
                kept.push(if long { argument.clone() } else { format!("-{argument}") });
                continue;
            }
            Some((_, takes_value, reason)) => (*takes_value, *reason),
            None if lenient => (true, "neither ingress-nginx 1.15 nor Landfall has it"),
            None => {
                kept.push(argument.clone());
                continue;
            }
        };
        if takes_value && !has_value {
            rest.next_if(|next| !next.starts_with('-'));
        }
        ignored.push(Ignored { flag: format!("--{name}"), reason });
    }
    (kept, ignored)
}

/// Name of the flag that an argument is, and whether its value is in it.
fn flag(argument: &str) -> Option<(&str, bool)> {
    let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).filter(|name| !name.is_empty())?;
    Some(name.split_once('=').map_or((name, false), |(name, _)| (name, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(arguments: &[&str]) -> (Vec<String>, Vec<String>) {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let known = |name: &str| ["publish-service", "election-id", "help", "h"].contains(&name);
        let (kept, ignored) = translate(&arguments, known);
        (kept, ignored.into_iter().map(|ignored| ignored.flag).collect())
    }

    #[test]
    fn the_upstream_manifests_arguments_become_ours() {
        let (kept, ignored) = translated(&[
            "/landfall",
            "/nginx-ingress-controller",
            "--publish-service=ingress-nginx/ingress-nginx-controller",
            "-election-id",
            "ingress-nginx-leader",
            "--validating-webhook=:8443",
            "--validating-webhook-key",
            "/usr/local/certificates/key",
            "--v=2",
            "--enable-metrics",
            "--from-the-future",
        ]);
        let expected = [
            "/landfall",
            "ingress",
            "--publish-service=ingress-nginx/ingress-nginx-controller",
            "--election-id",
            "ingress-nginx-leader",
        ];
        assert_eq!(kept, expected);
        let expected = ["--validating-webhook", "--validating-webhook-key", "--v", "--enable-metrics", "--from-the-future"];
        assert_eq!(ignored, expected);
    }

    #[test]
    fn the_program_may_have_upstreams_name_itself() {
        let (kept, _) = translated(&["/usr/bin/nginx-ingress-controller", "--publish-service", "a/b"]);
        assert_eq!(kept, ["/usr/bin/nginx-ingress-controller", "ingress", "--publish-service", "a/b"]);
    }

    #[test]
    fn a_mistyped_flag_of_our_own_command_is_left_to_be_refused() {
        let (kept, ignored) = translated(&["landfall", "ingress", "--publish-servce=a/b", "--sync-period=10s", "-h"]);
        assert_eq!(kept, ["landfall", "ingress", "--publish-servce=a/b", "-h"]);
        assert_eq!(ignored, ["--sync-period"]);
    }

    #[test]
    fn other_commands_are_not_touched() {
        let arguments = ["landfall", "controller", "--validating-webhook=x"];
        assert_eq!(translated(&arguments), (arguments.map(str::to_owned).into(), Vec::new()));
    }
}
