<?php
/** The program of `wordpress-install`: see there. */

[, $url, $title, $user, $email] = $argv;
$password = rtrim((string) fgets(STDIN), "\r\n");
if ($password === '') {
    fwrite(STDERR, "wordpress-install: no password on standard input\n");
    exit(64);
}
$_SERVER['HTTP_HOST'] = (string) parse_url($url, PHP_URL_HOST);
$_SERVER['HTTPS'] = parse_url($url, PHP_URL_SCHEME) === 'https' ? 'on' : '';
$_SERVER['REQUEST_URI'] = '/';
putenv("SITE_URL=$url");

define('WP_INSTALLING', true);
/** There is no mail here: whoever installs knows the password. */
function wp_new_blog_notification(): void {}

require '/var/www/html/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';

if (is_blog_installed()) {
    fwrite(STDERR, "wordpress-install: this database has a site already\n");
    exit(73);
}
$made = wp_install($title, $user, $email, true, '', wp_slash($password));
if (is_wp_error($made)) {
    fwrite(STDERR, "wordpress-install: {$made->get_error_message()}\n");
    exit(70);
}
echo "installed {$url} with the administrator {$user}\n";
