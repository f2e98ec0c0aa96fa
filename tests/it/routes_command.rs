//! `landfall routes` reads the table from the cluster's objects: what the API server returns, not what a manifest says.

use libtest_mimic::Trial;

use crate::support::controller::command;
use crate::support::wait::until;
use crate::support::workload::{create_backend, kubectl};
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials!("routes_command": the_table_of_a_cluster)
}

/// Runs `landfall routes` in the world's namespace; exit code, standard output, standard error.
async fn routes(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let class = format!("--ingress-class={}", world.namespace);
    let output = command(world).args(["routes", "--watch-namespace", &world.namespace, &class]).args(arguments).output().await;
    let output = output.expect("landfall runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

async fn the_table_of_a_cluster(world: World) {
    let ns = &world.namespace;
    create_backend(&world, "web", 1, 0).await;
    // A class of its own, by the annotation: IngressClasses belong to no namespace.
    let objects = format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{ports: [{{port: 80, targetPort: 8080}}], selector: {{app: web}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop, annotations: {{kubernetes.io/ingress.class: {ns}}}}}
spec:
  tls: [{{hosts: [shop.example.com], secretName: cert}}]
  rules:
  - host: shop.example.com
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: options}}
data: {{http-redirect-code: '307'}}
"
    );
    kubectl(&world, &["apply", "-n", ns, "-f", "-"], &objects).await.unwrap();

    let table = until("an endpoint in the table", async || {
        let (code, text, errors) = routes(&world, &[]).await;
        let serves = text.lines().any(|line| line.contains(&format!("{ns}/shop -> web:80  10.")));
        if serves { Ok((code, text)) } else { Err(format!("{text}{errors}")) }
    });
    let (code, text) = table.await;
    assert_eq!(code, 2, "a Secret is missing: {text}");
    assert!(text.contains("CertificateSecretMissing"), "{text}");

    let config = format!("--configmap={ns}/options");
    let (code, text, errors) = routes(&world, &["explain", "http://shop.example.com/x", &config]).await;
    assert_eq!(code, 0, "{text}{errors}");
    assert!(text.contains("307 to https://shop.example.com/x: "), "{text}");

    let folder = world.workdir.join("certificate");
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (certificate, key) = (format!("--cert={}", certificate.display()), format!("--key={}", key.display()));
    kubectl(&world, &["create", "-n", ns, "secret", "tls", "cert", &certificate, &key], "").await.unwrap();
    let (code, text, errors) = routes(&world, &[]).await;
    assert_eq!(code, 0, "{text}{errors}");
    let (code, text, errors) = routes(&world, &["explain", "https://shop.example.com/x"]).await;
    assert_eq!(code, 0, "{text}{errors}");
    assert!(text.contains("certificate  the one of the host, for shop.example.com"), "{text}");

    let (code, _, errors) = routes(&world, &["--kubeconfig=/nowhere"]).await;
    assert_eq!(code, 1, "{errors}");
}
