<?php
/**
 * WordPress's configuration, out of the environment and files. Nothing in this file is edited, on any node.
 *
 * The value NAME is what the environment variable NAME holds, else the content of the file that NAME_FILE names, else
 * the content of the file NAME in the directory WORDPRESS_CONFIG. A newline at the end of a file is not part of it.
 */

const SITE_DEFAULTS = [
    'DB_NAME' => 'wordpress',
    'DB_USER' => 'wordpress',
    'DB_HOST' => '127.0.0.1:3306', // the near end of the tunnel
    'DB_CHARSET' => 'utf8mb4',
    'DB_COLLATE' => '',
    'WP_MEMORY_LIMIT' => '128M',
];
// "true" where they are to be, else false
const SITE_FLAGS = ['WP_DEBUG', 'DISABLE_WP_CRON', 'WP_HTTP_BLOCK_EXTERNAL'];
// The same on every node: a cookie made by one node has to be good on the others.
const SITE_KEYS = [
    'AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY',
    'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT',
];

/** The value of that name, or null where there is none. */
function site_value(string $name): ?string
{
    $value = getenv($name);
    if ($value !== false && $value !== '') {
        return $value;
    }
    $file = getenv($name . '_FILE') ?: (getenv('WORDPRESS_CONFIG') ?: '/run/wordpress') . '/' . $name;
    $value = is_readable($file) ? file_get_contents($file) : false;
    return $value === false ? null : preg_replace('/\r?\n\z/', '', $value);
}

/** Ends the request: the site has no configuration. Said once per start of the container, not once per request. */
function site_unavailable(string $reason): never
{
    if (@fopen('/run/site/unconfigured', 'x') !== false) {
        error_log("wordpress: $reason; the site answers 503 until then");
    }
    if (PHP_SAPI === 'cli') {
        fwrite(STDERR, "wordpress: $reason\n");
        exit(78);
    }
    http_response_code(503);
    header('Retry-After: 30');
    header('Cache-Control: no-store');
    exit("Service unavailable\n");
}

(function (): void {
    $missing = [];
    foreach (['DB_PASSWORD', ...SITE_KEYS] as $name) {
        $value = site_value($name);
        if ($value === null || $value === '') {
            $missing[] = $name;
        } else {
            define($name, $value);
        }
    }
    if ($missing) {
        $names = implode(', ', $missing);
        site_unavailable("no value for $names: set NAME or NAME_FILE, or put files into wordpress/ of the config mount");
    }
    foreach (SITE_DEFAULTS as $name => $default) {
        define($name, site_value($name) ?? $default);
    }
    foreach (SITE_FLAGS as $name) {
        define($name, site_value($name) === 'true');
    }
    $url = site_value('SITE_URL');
    if ($url !== null) {
        define('WP_HOME', rtrim($url, '/'));
        define('WP_SITEURL', rtrim($url, '/'));
    }
})();

$table_prefix = site_value('TABLE_PREFIX') ?? 'wp_';
if (!preg_match('/\A[A-Za-z0-9_]+\z/', $table_prefix)) {
    site_unavailable('TABLE_PREFIX may hold letters, digits and _ only');
}

define('WP_DEBUG_DISPLAY', false);
define('FS_METHOD', 'direct');
define('AUTOMATIC_UPDATER_DISABLED', true); // the program comes with the image, plugins and themes come from an editor
if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {
    $_SERVER['HTTPS'] = 'on';
}
if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
require_once '/var/www/syncd/node-keys.php';
