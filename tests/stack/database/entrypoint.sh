#!/bin/bash
# TUNNEL_KEY: the public key that may open the tunnel. /password: that of the database's user, mounted.
set -eu
install -d -m 0755 /run/sshd
install -d -o mysql -g mysql /run/mysqld /var/lib/mysql
ssh-keygen -A >/dev/null
install -d -m 0700 -o tunnel -g tunnel ~tunnel/.ssh
echo "restrict,port-forwarding,permitopen=\"127.0.0.1:3306\" $TUNNEL_KEY" >~tunnel/.ssh/authorized_keys
/usr/sbin/sshd -e -o PasswordAuthentication=no -o PermitRootLogin=no -o ClientAliveInterval=5
if [ ! -d /var/lib/mysql/mysql ]; then
    mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket >/dev/null
    password=$(sed -e "s/\\\\/\\\\\\\\/g; s/'/''/g" /password)
    mariadbd --user=mysql --bootstrap <<SQL
FLUSH PRIVILEGES;
CREATE DATABASE wordpress DEFAULT CHARACTER SET utf8mb4;
CREATE USER 'wordpress'@'127.0.0.1' IDENTIFIED BY '$password';
CREATE USER 'wordpress'@'localhost' IDENTIFIED BY '$password';
GRANT ALL ON wordpress.* TO 'wordpress'@'127.0.0.1';
GRANT ALL ON wordpress.* TO 'wordpress'@'localhost';
SQL
fi
exec mariadbd --user=mysql --bind-address=127.0.0.1 --skip-log-bin --innodb-flush-log-at-trx-commit=2
