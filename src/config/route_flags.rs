//! The flags that shape the route table. Names, defaults and meanings are ingress-nginx's, where it has the flag.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use rustls::sign::CertifiedKey;

use super::parse;
use crate::routes::compile::Settings;
use crate::routes::findings::ObjectKey;
use crate::routes::options::PathMatching;

/// Flags of every command that compiles routes.
#[derive(Clone, Debug, Args)]
pub struct RouteFlags {
    /// Kubeconfig to use instead of the one found by KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, global = true, env = "LANDFALL_KUBECONFIG", value_name = "FILE", value_parser = parse::path, help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace whose Ingresses are served [default: all]
    #[arg(long, global = true, env = "LANDFALL_WATCH_NAMESPACE", value_name = "NAMESPACE", value_parser = parse::namespace, help_heading = "Cluster")]
    pub watch_namespace: Option<String>,

    /// ConfigMap with the global options
    #[arg(long, global = true, env = "LANDFALL_CONFIGMAP", value_name = "NAMESPACE/NAME", help_heading = "Cluster")]
    pub configmap: Option<ObjectKey>,

    /// IngressClasses with this controller are ours
    #[arg(
        long,
        global = true,
        env = "LANDFALL_CONTROLLER_CLASS",
        value_name = "CONTROLLER",
        default_value = "k8s.io/ingress-nginx",
        help_heading = "Ingresses"
    )]
    pub controller_class: String,

    /// Ingresses whose annotation kubernetes.io/ingress.class says this are ours
    #[arg(long, global = true, env = "LANDFALL_INGRESS_CLASS", value_name = "NAME", default_value = "nginx", value_parser = parse::object_name, help_heading = "Ingresses")]
    pub ingress_class: String,

    /// An IngressClass named like --ingress-class is ours, whatever its controller
    #[arg(long, global = true, env = "LANDFALL_INGRESS_CLASS_BY_NAME", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(), help_heading = "Ingresses")]
    pub ingress_class_by_name: bool,

    /// Ingresses without any class are ours, too. Only where no other controller takes them
    #[arg(long, global = true, env = "LANDFALL_WATCH_INGRESS_WITHOUT_CLASS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(), help_heading = "Ingresses")]
    pub watch_ingress_without_class: bool,

    /// Ignore Ingresses that have a default backend, with rules or without
    #[arg(long, global = true, env = "LANDFALL_DISABLE_CATCH_ALL", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(), help_heading = "Ingresses")]
    pub disable_catch_all: bool,

    /// Refuse Services of type ExternalName as backends
    #[arg(long, global = true, env = "LANDFALL_DISABLE_SVC_EXTERNAL_NAME", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(), help_heading = "Ingresses")]
    pub disable_svc_external_name: bool,

    /// How rule paths are matched: as ingress-nginx does, or by the letter of the Ingress API
    #[arg(
        long,
        global = true,
        env = "LANDFALL_PATH_MATCHING",
        value_name = "HOW",
        value_enum,
        default_value = "nginx",
        help_heading = "Ingresses"
    )]
    pub path_matching: PathMatching,

    /// Service that answers what no rule matches [default: a built-in 404 page]
    #[arg(
        long,
        global = true,
        env = "LANDFALL_DEFAULT_BACKEND_SERVICE",
        value_name = "NAMESPACE/NAME",
        help_heading = "Ingresses"
    )]
    pub default_backend_service: Option<ObjectKey>,

    /// Secret with the certificate for unknown server names [default: a self-signed one]
    #[arg(
        long,
        global = true,
        env = "LANDFALL_DEFAULT_SSL_CERTIFICATE",
        value_name = "NAMESPACE/NAME",
        help_heading = "Ingresses"
    )]
    pub default_ssl_certificate: Option<ObjectKey>,
}

impl RouteFlags {
    /// What the compiler is made with. `fallback`: sent where there is no other certificate.
    #[must_use]
    pub fn settings(&self, fallback: Arc<CertifiedKey>) -> Settings {
        Settings {
            controller_class: self.controller_class.clone(),
            ingress_class: self.ingress_class.clone(),
            watch_ingress_without_class: self.watch_ingress_without_class,
            ingress_class_by_name: self.ingress_class_by_name,
            path_matching: self.path_matching,
            default_backend_service: self.default_backend_service.clone(),
            default_ssl_certificate: self.default_ssl_certificate.clone(),
            disable_catch_all: self.disable_catch_all,
            disable_svc_external_name: self.disable_svc_external_name,
            config_map: self.configmap.clone(),
            ..Settings::new(fallback)
        }
    }
}
