//! What is set for all hosts, in the short text form.

use std::fmt::Debug;

use crate::ir::{
    Answers, Blocked, Clients, Escape, Globals, Logging, Networks, Pattern, Pool, ProxyProtocol, Requests, Sampler,
    SetField, Tls, Traces, Trust,
};

/// What differs from what is done where nobody sets anything: a line for each subject.
pub(super) fn lines(globals: &Globals) -> Vec<Vec<String>> {
    let Globals { trust, proxy_protocol, blocked, access_log, requests, answers, clients, pool, tls, traces, drain } =
        globals;
    let mut lines = Vec::new();
    let mut line = |subject: &str, words: Words| {
        if !words.0.is_empty() {
            lines.push(vec![subject.to_owned(), words.0.join(" ")]);
        }
    };
    line("trust", trust.as_deref().map(of_trust).unwrap_or_default());
    line("proxy-protocol", proxy_protocol.as_ref().map(of_proxy_protocol).unwrap_or_default());
    line("blocked", blocked.as_deref().map(of_blocked).unwrap_or_default());
    line("access-log", access_log.as_deref().map(of_log).unwrap_or_default());
    line("requests", of_requests(requests));
    line("answers", answers.as_deref().map(of_answers).unwrap_or_default());
    line("clients", of_clients(clients));
    line("pool", of_pool(pool));
    line("tls", of_tls(tls));
    line("traces", of_traces(traces));
    let mut words = Words::default();
    words.some("time", drain);
    line("drain", words);
    lines
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn is(&mut self, word: &str, is: bool) {
        self.0.extend(is.then(|| word.to_owned()));
    }

    fn some(&mut self, name: &str, value: &Option<impl Debug>) {
        self.0.extend(value.as_ref().map(|value| format!("{name}={value:?}")));
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0.push(format!("{name}={text}"));
        }
    }
}

fn of_trust(trust: &Trust) -> Words {
    let Trust { networks, field, host_field, forwarded, full_chain } = trust;
    let mut words = Words(vec![networks.to_string(), format!("by={field}")]);
    if **host_field != *Trust::HOST_FIELD {
        words.text("host-by", host_field);
    }
    words.is("forwarded", *forwarded);
    words.is("full-chain", *full_chain);
    words
}

fn of_proxy_protocol(rule: &ProxyProtocol) -> Words {
    let ProxyProtocol { networks, time } = rule;
    Words(vec![networks.to_string(), format!("time={time:?}")])
}

fn of_blocked(blocked: &Blocked) -> Words {
    let Blocked { clients, agents, referers } = blocked;
    let mut words = Words::default();
    words.text("clients", &clients.as_ref().map(Networks::to_string).unwrap_or_default());
    words.text("user-agents", &patterns(agents));
    words.text("referers", &patterns(referers));
    words
}

fn patterns(patterns: &[Pattern]) -> String {
    patterns.iter().map(|pattern| format!("{:?}", pattern.as_str())).collect::<Vec<_>>().join(",")
}

fn of_log(log: &Logging) -> Words {
    let Logging { is_off, format, is_default, unrouted, skipped } = log;
    let mut words = Words::default();
    words.is("off", *is_off);
    words.is("unrouted", *unrouted);
    if let Some(format) = format {
        let escape = match format.escape {
            Escape::Hex => "",
            Escape::Json => " as json",
            Escape::Raw => " unescaped",
        };
        let whose = if *is_default { "default format" } else { "format" };
        words.0.push(format!("{whose} of {} parts{escape}", format.parts.len()));
    }
    words.text("skips", &patterns(skipped));
    words
}

fn of_requests(requests: &Requests) -> Words {
    let Requests { no_request_id, underscores, original_uri, set } = requests;
    let mut words = Words::default();
    words.is("no-request-id", *no_request_id);
    words.is("underscores", *underscores);
    words.is("original-uri", *original_uri);
    words.text("set", &fields(set.as_deref().unwrap_or_default()));
    words
}

fn fields(set: &[SetField]) -> String {
    set.iter().map(|field| format!("{}:{:?}", field.name, field.value.to_string())).collect::<Vec<_>>().join(",")
}

fn of_answers(answers: &Answers) -> Words {
    let Answers { keeps_server, names_us, hidden, set } = answers;
    let mut words = Words::default();
    words.is("keeps-server", *keeps_server);
    words.is("names-us", *names_us);
    words.text("hides", &hidden.join(","));
    words.text("set", &fields(set));
    words
}

fn of_clients(clients: &Clients) -> Words {
    let Clients { keep_alive, requests, head_time, body_gap, line, no_http2, streams } = clients;
    let mut words = Words::default();
    words.some("keep-alive", keep_alive);
    words.some("requests", requests);
    words.some("head-time", head_time);
    words.some("body-gap", body_gap);
    words.some("line", line);
    words.is("no-http2", *no_http2);
    words.some("streams", streams);
    words
}

fn of_pool(pool: &Pool) -> Words {
    let Pool { connections, idle, requests, age } = pool;
    let mut words = Words::default();
    words.some("connections", connections);
    words.some("idle", idle);
    words.some("requests", requests);
    words.some("age", age);
    words
}

fn of_traces(traces: &Traces) -> Words {
    let Traces { host, port, service, sampler, ratio, ignores_parent, queue, delay, batch } = traces;
    let mut words = Words::default();
    words.text("host", host.as_deref().unwrap_or_default());
    words.some("port", port);
    words.text("service", service.as_deref().unwrap_or_default());
    words.text("sampler", sampler.map(Sampler::as_str).unwrap_or_default());
    words.some("ratio", ratio);
    words.is("ignores-parent", *ignores_parent);
    words.some("queue", queue);
    words.some("delay", delay);
    words.some("batch", batch);
    words
}

fn of_tls(tls: &Tls) -> Words {
    let Tls { no_tls12, no_tls13, ciphers, groups, no_tickets, no_cache, rejects_unknown } = tls;
    let mut words = Words::default();
    words.is("no-1.2", *no_tls12);
    words.is("no-1.3", *no_tls13);
    words.is("no-tickets", *no_tickets);
    words.is("no-cache", *no_cache);
    words.is("rejects-unknown", *rejects_unknown);
    let names = ciphers.iter().flat_map(|ciphers| ciphers.iter().map(|cipher| cipher.name));
    words.text("ciphers", &names.collect::<Vec<_>>().join(":"));
    let names = groups.iter().flat_map(|groups| groups.iter().map(|group| group.name));
    words.text("groups", &names.collect::<Vec<_>>().join(":"));
    words
}
