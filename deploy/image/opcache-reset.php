<?php
// For a file that changed and kept its time, which is all that the cache looks at.
echo opcache_reset() ? "reset\n" : "no cache\n";
