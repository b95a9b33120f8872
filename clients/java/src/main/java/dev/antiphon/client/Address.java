package dev.antiphon.client;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where the server listens; {@code secure} says whether TLS is spoken there unless somebody says otherwise. */
record Address(String host, int port, boolean secure, boolean loopback) {
    private static final Pattern FORM =
            Pattern.compile("(?:(https?)://)?(?:\\[([0-9A-Fa-f:.]+)\\]|([^\\s:/@?#\\[\\]]+))(?::([0-9]{1,5}))?/?");
    private static final Pattern LOOPBACK = Pattern.compile("(?i)localhost|127(\\.[0-9]{1,3}){3}|::1");

    /**
     * Reads {@code host:port}, {@code http://host:port} or {@code https://host:port}. Without a scheme, loopback is spoken to in plain
     * text and all others over TLS, so that no token travels in the open unless that was asked for by name.
     */
    static Address of(String server) {
        Matcher form = FORM.matcher(server.strip());
        if (!form.matches() || (form.group(1) == null && form.group(4) == null)) {
            throw new IllegalArgumentException(
                    "'" + server + "' is no address: write host:port, http://host:port (plain text) or https://host:port (TLS)");
        }
        String scheme = form.group(1);
        String host = form.group(2) != null ? form.group(2) : form.group(3);
        int port = form.group(4) != null ? Integer.parseInt(form.group(4)) : "http".equals(scheme) ? 80 : 443;
        if (port < 1 || port > 65535) {
            throw new IllegalArgumentException("'" + server + "': a port is between 1 and 65535");
        }
        boolean loopback = LOOPBACK.matcher(host).matches();
        return new Address(host, port, scheme == null ? !loopback : scheme.equals("https"), loopback);
    }

    @Override
    public String toString() {
        return (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
    }
}
