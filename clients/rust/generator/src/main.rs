//! Writes what is generated of the Rust client: `generator DESCRIPTORS STUBS TABLE`.
//!
//! DESCRIPTORS is the contract as one descriptor set, policies included, so neither `protoc` nor the protos are needed.
//! STUBS is the folder of messages and RPCs, TABLE the file of the conformance runner that names every RPC.

use std::{env, error::Error, fmt::Write, fs, path::Path};

use prost::Message;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::FileDescriptorSet;

const HEADER: &str = "// This file is generated from the contract in `protos/`.\n";
const ACCESS_PUBLIC: i32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [descriptors, stubs, table] = arguments.as_slice() else {
        return Err("usage: generator DESCRIPTORS STUBS TABLE".into());
    };
    let bytes = fs::read(descriptors)?;
    messages(&bytes, Path::new(stubs))?;
    let pool = DescriptorPool::decode(bytes.as_slice())?;
    let methods: Vec<MethodDescriptor> = pool
        .services()
        .filter(|service| service.package_name().starts_with("antiphon."))
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect();
    fs::write(Path::new(stubs).join("rpcs.rs"), rpcs(&pool, &methods)?)?;
    fs::write(table, names(&methods)?)?;
    Ok(())
}

/// Messages and tonic's service clients, a file for each package.
fn messages(bytes: &[u8], folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut files = FileDescriptorSet::decode(bytes)?;
    // Well-known types are prost-types' own; prost-build looks at what they are made of all the same.
    files.file.retain(|file| {
        ["antiphon.", "google.protobuf"].iter().any(|package| file.package().starts_with(package))
    });
    fs::create_dir_all(folder)?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(folder)
        .compile_fds(files)?;
    let wellknown = folder.join("google.protobuf.rs");
    if wellknown.exists() {
        fs::remove_file(wellknown)?;
    }
    Ok(())
}

/// Which response, which policy: what the client knows of each RPC by its request.
fn rpcs(pool: &DescriptorPool, methods: &[MethodDescriptor]) -> Result<String, Box<dyn Error>> {
    let policy =
        pool.get_extension_by_name("antiphon.options.v1.policy").ok_or("the descriptors have no policies")?;
    let mut text = String::from(HEADER);
    for method in methods {
        let options = method.options();
        let policy = options.get_extension(&policy);
        let policy = policy.as_message().ok_or("a policy is no message")?;
        let field = |name: &str| policy.get_field_by_name(name).map(|value| value.into_owned());
        let idempotent = field("idempotent").and_then(|value| value.as_bool()) == Some(true);
        let access = field("access").and_then(|value| value.as_enum_number());
        let kind = if method.is_server_streaming() { "Streaming" } else { "Unary" };
        let request = rust_path(&method.input());
        writeln!(text, "impl Rpc for {request} {{")?;
        writeln!(text, "    type Response = {};", rust_path(&method.output()))?;
        writeln!(
            text,
            "    const METHOD: Method = Method {{ path: \"/{}/{}\", idempotent: {idempotent}, public: {} }};",
            method.parent_service().full_name(),
            method.name(),
            access == Some(ACCESS_PUBLIC),
        )?;
        if method.input().get_field_by_name("request_id").is_some() {
            writeln!(
                text,
                "    fn request_id(&mut self) -> Option<&mut String> {{ Some(&mut self.request_id) }}"
            )?;
        }
        writeln!(text, "}}\nimpl {kind} for {request} {{}}")?;
        if is_list(method) {
            let skip = method.input().get_field_by_name("skip").is_some();
            // A token goes on from behind what was skipped.
            let skip = if skip { " self.skip = 0;" } else { "" };
            writeln!(text, "impl Paged for {request} {{")?;
            writeln!(
                text,
                "    fn turn_to(&mut self, page_token: String) {{ self.page_token = page_token;{skip} }}"
            )?;
            writeln!(
                text,
                "    fn next_page_token(page: &Self::Response) -> &str {{ &page.next_page_token }}"
            )?;
            writeln!(text, "}}")?;
        }
    }
    Ok(text)
}

fn is_list(method: &MethodDescriptor) -> bool {
    method.input().get_field_by_name("page_token").is_some()
        && method.output().get_field_by_name("next_page_token").is_some()
}

/// Tables from the names of RPCs to the types of their requests: of all, and of those that list something.
fn names(methods: &[MethodDescriptor]) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(HEADER);
    let lists: Vec<MethodDescriptor> = methods.iter().filter(|method| is_list(method)).cloned().collect();
    for (table, methods) in [("table", methods), ("lists", &lists)] {
        writeln!(text, "{table}! {{")?;
        for method in methods {
            let request = rust_path(&method.input());
            writeln!(
                text,
                "    \"{}/{}\" => {},",
                method.parent_service().full_name(),
                method.name(),
                request.replacen("crate::", "antiphon_client::", 1),
            )?;
        }
        writeln!(text, "}}")?;
    }
    Ok(text)
}

fn rust_path(message: &MessageDescriptor) -> String {
    let package = message.package_name().trim_start_matches("antiphon.");
    format!("crate::{}::{}", package.replace('.', "::"), message.name())
}
