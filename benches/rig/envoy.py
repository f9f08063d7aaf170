"""Envoy's configuration: the credential injector with its OAuth 2.0 client."""

TYPES = "type.googleapis.com/envoy"


def configuration(port, upstream, secure, most_connections):
    """Listener, filters, and two clusters: the API's and the token endpoint's."""
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP1",
        "http_filters": [
            {"name": "envoy.filters.http.credential_injector", "typed_config": injector(upstream)},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"},
            },
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "api", "host_rewrite_literal": "localhost", "timeout": "0s"},
                        }
                    ],
                }
            ]
        },
    }
    listener = {
        "address": address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    secret = {"name": "secret", "generic_secret": {"secret": {"inline_string": "bench-secret"}}}
    clusters = [cluster("api", upstream, secure, most_connections), cluster("token", upstream, False, most_connections)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters, "secrets": [secret]}}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def injector(upstream):
    return {
        "@type": f"{TYPES}.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.oauth2",
            "typed_config": {
                "@type": f"{TYPES}.extensions.http.injected_credentials.oauth2.v3.OAuth2",
                "token_endpoint": {
                    "cluster": "token",
                    "timeout": "5s",
                    "uri": f"http://127.0.0.1:{upstream.plain_port}/api/v2/oauth/token",
                },
                "client_credentials": {"client_id": "bench", "client_secret": {"name": "secret"}},
            },
        },
    }


def cluster(name, upstream, secure, most):
    endpoint = {"endpoint": {"address": address(upstream.port(secure))}}
    limits = {"max_connections": most, "max_pending_requests": most, "max_requests": most}
    described = {
        "name": name,
        "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if secure:
        name_matches = {"san_type": "DNS", "matcher": {"exact": "localhost"}}
        validation = {
            "trusted_ca": {"filename": str(upstream.ca_file)},
            "match_typed_subject_alt_names": [name_matches],
        }
        protocols = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
        described["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "localhost",
                "common_tls_context": {"tls_params": protocols, "validation_context": validation},
            },
        }
    return described
