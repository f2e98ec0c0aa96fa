//! What the feed hands on: a table that is in force, and what there is to tell about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::routes::RouteTable;
use crate::routes::certificates::Certificate;
use crate::routes::compile::{Compiled, Compiler, IngressState, Inputs};
use crate::routes::findings::{Finding, ObjectKey};

/// What the data plane serves from now on, and what there is to tell about it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The table.
    pub table: Arc<RouteTable>,
    /// About the objects that it was made from.
    pub findings: Arc<[Finding]>,
    /// Our Ingresses.
    pub ingresses: Arc<[IngressState]>,
    /// The Secrets whose certificates the table has, and those certificates.
    pub certificates: Arc<BTreeMap<ObjectKey, Arc<Certificate>>>,
}

impl Published {
    /// What is served before anything is known: nothing.
    #[must_use]
    pub fn first(compiler: &mut Compiler) -> Self {
        Self::new(compiler.compile(&Inputs::default()))
    }

    pub(super) fn new(compiled: Compiled) -> Self {
        let Compiled { table, findings, ingresses, certificates, .. } = compiled;
        Self {
            table: Arc::new(table),
            findings: findings.into(),
            ingresses: ingresses.into(),
            certificates: Arc::new(certificates),
        }
    }

    /// The same with other endpoints.
    pub(super) fn with(&self, table: RouteTable) -> Self {
        Self { table: Arc::new(table), ..self.clone() }
    }

    /// Ingresses that traffic can be sent to the data plane for.
    pub fn live(&self) -> impl Iterator<Item = &ObjectKey> {
        self.ingresses.iter().filter(|ingress| ingress.is_live(&self.table)).map(|ingress| &ingress.key)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn is_live(&self, key: &ObjectKey) -> bool {
        self.ingresses.iter().find(|ingress| ingress.key == *key).is_some_and(|ingress| ingress.is_live(&self.table))
    }
}
