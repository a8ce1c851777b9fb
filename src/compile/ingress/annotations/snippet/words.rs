//! nginx's words: which annotation says the same, which only tune, and what to write in place of the others.

use crate::compile::nginx::Statement;

pub(super) const ANSWER: &str = "a back end that answers so";
pub(super) const HIDE: &str = "hide-headers of the ConfigMap";
pub(super) const REDIRECT: &str = "permanent-redirect or temporal-redirect";
pub(super) const REFUSE: &str = "denylist-source-range: 0.0.0.0/0, ::/0, on an Ingress for the path";
pub(super) const SEND: &str = "proxy-set-headers of the ConfigMap";
pub(super) const SET: &str = "custom-headers";

/// Words that have an annotation of their own. `proxy_` and `grpc_` say the same of the two protocols.
const TYPED: [(&str, &str); 26] = [
    ("client_body_buffer_size", "client-body-buffer-size"),
    ("client_max_body_size", "proxy-body-size"),
    ("grpc_connect_timeout", "proxy-connect-timeout"),
    ("grpc_next_upstream", "proxy-next-upstream"),
    ("grpc_next_upstream_timeout", "proxy-next-upstream-timeout"),
    ("grpc_next_upstream_tries", "proxy-next-upstream-tries"),
    ("grpc_read_timeout", "proxy-read-timeout"),
    ("grpc_send_timeout", "proxy-send-timeout"),
    ("grpc_ssl_name", "proxy-ssl-name"),
    ("grpc_ssl_server_name", "proxy-ssl-server-name"),
    ("proxy_buffer_size", "proxy-buffer-size"),
    ("proxy_buffering", "proxy-buffering"),
    ("proxy_buffers", "proxy-buffers-number"),
    ("proxy_busy_buffers_size", "proxy-busy-buffers-size"),
    ("proxy_connect_timeout", "proxy-connect-timeout"),
    ("proxy_cookie_domain", "proxy-cookie-domain"),
    ("proxy_cookie_path", "proxy-cookie-path"),
    ("proxy_http_version", "proxy-http-version"),
    ("proxy_max_temp_file_size", "proxy-max-temp-file-size"),
    ("proxy_next_upstream", "proxy-next-upstream"),
    ("proxy_next_upstream_timeout", "proxy-next-upstream-timeout"),
    ("proxy_next_upstream_tries", "proxy-next-upstream-tries"),
    ("proxy_read_timeout", "proxy-read-timeout"),
    ("proxy_request_buffering", "proxy-request-buffering"),
    ("proxy_send_timeout", "proxy-send-timeout"),
    ("proxy_ssl_name", "proxy-ssl-name"),
];

/// The word and the annotation that says the same.
pub(super) fn typed(word: &str) -> Option<(&'static str, &'static str)> {
    match word {
        "proxy_ssl_server_name" => Some(("proxy_ssl_server_name", "proxy-ssl-server-name")),
        _ => TYPED.iter().find(|(own, _)| *own == word).copied(),
    }
}

/// Words that only tune, whatever stands behind them.
const TUNING: [&str; 40] = [
    "absolute_redirect",
    "access_log",
    "add_header",
    "add_trailer",
    "aio",
    "brotli",
    "charset",
    "chunked_transfer_encoding",
    "default_type",
    "directio",
    "error_log",
    "etag",
    "expires",
    "gunzip",
    "gzip",
    "http2_push_preload",
    "if_modified_since",
    "ignore_invalid_headers",
    "keepalive_disable",
    "keepalive_requests",
    "keepalive_time",
    "keepalive_timeout",
    "large_client_header_buffers",
    "log_not_found",
    "log_subrequest",
    "merge_slashes",
    "opentelemetry",
    "output_buffers",
    "port_in_redirect",
    "postpone_output",
    "reset_timedout_connection",
    "rewrite_log",
    "send_timeout",
    "sendfile",
    "server_name_in_redirect",
    "server_tokens",
    "tcp_nodelay",
    "tcp_nopush",
    "underscores_in_headers",
    "uninitialized_variable_warn",
];

/// Beginnings of words that only tune.
const TUNING_FAMILIES: [&str; 12] = [
    "brotli_",
    "charset_",
    "client_",
    "grpc_",
    "gzip_",
    "http2_",
    "log_",
    "more_",
    "open_file_cache",
    "opentelemetry_",
    "proxy_",
    "sub_filter",
];

/// Words of these families that say who answers, who is believed, or what a back end must not see.
const NOT_TUNING: [&str; 16] = [
    "grpc_bind",
    "grpc_pass",
    "grpc_ssl_crl",
    "grpc_ssl_verify",
    "grpc_ssl_trusted_certificate",
    "log_by_lua",
    "proxy_bind",
    "proxy_method",
    "proxy_pass",
    "proxy_pass_request_body",
    "proxy_pass_request_headers",
    "proxy_set_body",
    "proxy_ssl_crl",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_verify",
    "proxy_store",
];

/// Whether the statement can only tune: a back end is served well without it.
pub(super) fn only_tunes(statement: &Statement) -> bool {
    let Statement { name, words, block, .. } = statement;
    let is_off = name.ends_with("_ssl_verify") && words.len() == 1 && words.iter().all(|word| word == "off");
    let is_meant = TUNING.contains(&name.as_str()) || TUNING_FAMILIES.iter().any(|family| name.starts_with(family));
    let is_other = NOT_TUNING.contains(&name.as_str()) || name.contains("_by_lua");
    block.is_none() && is_meant && (!is_other || is_off)
}

/// What to write in place of a statement that is not understood.
pub(super) fn instead_of(statement: &Statement) -> &'static str {
    let asks = |names: &[&str]| statement.words.iter().any(|word| names.iter().any(|name| word.contains(name)));
    match statement.name.as_str() {
        "if" if asks(&["$ssl_client_"]) => "auth-tls-secret with auth-tls-verify-client: on, or auth-tls-match-cn",
        "if" if asks(&["$scheme", "$http_x_forwarded_proto"]) => {
            "force-ssl-redirect, and use-forwarded-headers of the ConfigMap behind a proxy"
        }
        "if" if asks(&["$remote_addr", "$http_x_forwarded_for", "$http_x_real_ip"]) => {
            "allowlist-source-range or denylist-source-range"
        }
        "if" if asks(&["$http_user_agent"]) => "block-user-agents of the ConfigMap",
        "if" if asks(&["$http_referer"]) => "block-referers of the ConfigMap",
        "if" if asks(&["$http_origin"]) => "enable-cors and cors-allow-origin",
        "if" if asks(&["$request_method"]) => "enable-cors for preflights; else the back end, which knows its methods",
        "if" if asks(&["$host", "$http_host", "$request_uri", "$uri"]) => {
            "an Ingress for each host or path, with permanent-redirect where it redirects"
        }
        name => instead(name),
    }
}

/// What to write in place of a word that is not understood.
pub(super) fn instead(word: &str) -> &'static str {
    match word {
        "add_header" | "more_set_headers" => SET,
        "allow" | "deny" => "allowlist-source-range or denylist-source-range",
        "auth_basic" | "auth_basic_user_file" => "auth-type and auth-secret",
        "auth_request" | "auth_request_set" => "auth-url and auth-response-headers",
        "error_page" => "custom-http-errors and default-backend",
        "expires" => "custom-headers with Cache-Control",
        "if" => "canary-by-header, an Ingress for each host or path, or the back end",
        "limit_conn" | "limit_req" | "limit_req_status" => "limit-rps, limit-rpm or limit-connections",
        "limit_except" => "the back end, which knows its methods",
        "gzip_types" | "gzip_comp_level" | "gzip_min_length" | "gzip_disable" => {
            "gzip-types, gzip-level, gzip-min-length or gzip-disable of the ConfigMap"
        }
        "limit_rate" | "limit_rate_after" => "limit-rate",
        "location" => "an Ingress with that path, which has as annotations what stands in the braces",
        "mirror" => "mirror-target",
        "more_clear_headers" | "proxy_hide_header" => HIDE,
        "proxy_pass" | "grpc_pass" => "a path with that Service",
        "proxy_set_header" | "grpc_set_header" | "more_set_input_headers" | "more_clear_input_headers" => SEND,
        "proxy_ssl_crl" | "proxy_ssl_verify" | "proxy_ssl_trusted_certificate" => {
            "proxy-ssl-secret and proxy-ssl-verify"
        }
        "real_ip_header" | "set_real_ip_from" => "enable-real-ip and proxy-real-ip-cidr of the ConfigMap",
        "return" => "permanent-redirect or temporal-redirect",
        "rewrite" => "rewrite-target, app-root or permanent-redirect",
        "satisfy" => "satisfy",
        "server" => "an Ingress for its host, with ssl-redirect where it only redirects to https",
        "server_name" => "server-alias",
        "set" => "the back end, or a path of its own",
        word if word.contains("_by_lua") => "auth-url, for what lets in and refuses; else the back end",
        word if word.starts_with("sub_filter") => "the back end; bodies are passed on as they are",
        "map" => "canary-by-header, an Ingress for each host or path, or the back end",
        "ssl_client_certificate" | "ssl_verify_client" => "auth-tls-secret and auth-tls-verify-client",
        "ssl_ciphers" => "ssl-ciphers",
        "ssl_prefer_server_ciphers" => "ssl-prefer-server-ciphers",
        "ssl_protocols" => "ssl-protocols of the ConfigMap",
        _ => "annotations, or the back end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::ingress::annotations::rows;
    use crate::compile::nginx;

    fn tunes(text: &str) -> bool {
        only_tunes(&nginx::parse(text).unwrap()[0])
    }

    #[test]
    fn words_that_may_guard_are_never_taken_for_tuning() {
        for text in [
            "if ($a) { return 403; }",
            "return 403;",
            "deny all;",
            "auth_basic x;",
            "auth_request /x;",
            "satisfy any;",
            "limit_req zone=a;",
            "limit_except GET { deny all; }",
            "location /x { deny all; }",
            "rewrite a b;",
            "set $a b;",
            "ssl_verify_client on;",
            "access_by_lua_block { x; }",
            "log_by_lua 'x';",
            "header_filter_by_lua 'x';",
            "proxy_pass http://x;",
            "grpc_pass grpc://x;",
            "proxy_pass_request_headers off;",
            "proxy_pass_request_body off;",
            "proxy_ssl_verify on;",
            "proxy_ssl_verify;",
            "modsecurity on;",
            "error_page 403 /x;",
            "internal;",
            "root /x;",
            "alias /x;",
            "try_files a b;",
            "include /x;",
            "server_name x;",
            "set_real_ip_from 0.0.0.0/0;",
            "valid_referers none;",
            "secure_link a;",
            "proxy_set_header { }",
            "gzip { deny all; }",
        ] {
            assert!(!tunes(text), "{text}");
        }
        for text in [
            "proxy_set_header X $y;",
            "sub_filter a b;",
            "sub_filter_once off;",
            "access_log off;",
            "gzip_types a;",
            "proxy_ssl_verify off;",
        ] {
            assert!(tunes(text), "{text}");
        }
    }

    #[test]
    fn a_condition_is_answered_by_what_it_asks() {
        for (text, part) in [
            ("if ($ssl_client_verify != SUCCESS) { return 403; }", "auth-tls-verify-client"),
            ("if ($http_x_forwarded_proto = http) { return 301 https://a; }", "force-ssl-redirect"),
            ("if ($remote_addr = 192.0.2.1) { return 403; }", "allowlist-source-range"),
            ("if ($http_user_agent ~* bot) { return 403; }", "block-user-agents"),
            ("if ($request_method = OPTIONS) { return 204; }", "enable-cors"),
            ("if ($host = a.example) { return 301 https://b; }", "permanent-redirect"),
            ("if ($http_accept ~ json) { set $a b; }", "canary-by-header"),
            ("access_by_lua_block { x }", "auth-url"),
            ("sub_filter_once off;", "bodies"),
        ] {
            let instead = instead_of(&nginx::parse(text).unwrap()[0]);
            assert!(instead.contains(part), "{text}: {instead}");
        }
    }

    #[test]
    fn the_annotations_that_words_stand_for_exist() {
        for (word, annotation) in TYPED {
            assert!(rows().any(|row| row.name == annotation), "{word}");
            assert!(typed(word).is_some());
        }
    }
}
