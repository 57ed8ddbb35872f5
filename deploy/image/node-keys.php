<?php
/**
 * Reports keys and salts that differ between nodes: then logins do not survive a change of the node.
 *
 * The nodes share a database. Each leaves a fingerprint of its keys there, with the time, at most every ten minutes; one
 * that finds another fingerprint of the last half hour says so in its log. After a change of the keys on all nodes
 * the old fingerprint is forgotten by itself.
 */

const NODE_KEYS_OPTION = 'syncd_node_keys';
const NODE_KEYS_RENEW = 600; // seconds
const NODE_KEYS_RECENT = 1800;

(function (): void {
    if (wp_installing()) {
        return;
    }
    $own = substr(hash('sha256', 'node keys ' . implode("\0", array_map('constant', SITE_KEYS))), 0, 12);
    $seen = get_option(NODE_KEYS_OPTION);
    $seen = is_array($seen) ? $seen : [];
    $now = time();
    if ($now - ($seen[$own]['time'] ?? 0) >= NODE_KEYS_RENEW) {
        $seen = array_filter($seen, fn ($entry): bool => $now - ($entry['time'] ?? 0) < NODE_KEYS_RECENT);
        $seen[$own] = ['time' => $now, 'node' => gethostname()];
        update_option(NODE_KEYS_OPTION, $seen, true);
    }
    unset($seen[$own]);
    $others = array_filter($seen, fn ($entry): bool => $now - ($entry['time'] ?? 0) < NODE_KEYS_RECENT);
    $said = '/run/site/keys-said';
    if (!$others || $now - (int) @filemtime($said) < NODE_KEYS_RENEW) {
        return;
    }
    touch($said);
    foreach ($others as $other => $entry) {
        $node = preg_replace('/[^A-Za-z0-9_.-]/', '?', (string) ($entry['node'] ?? '?'));
        error_log("wordpress: keys and salts differ from those of node $node ($own here, $other there): "
            . 'logins do not survive a change of the node; give every node the same files in wordpress/');
    }
})();
