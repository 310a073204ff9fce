/* Names are looked up in /etc/hosts and by DNS, and in no other way.
 *
 * For static builds only: see build.rs. The host's /etc/nsswitch.conf may name modules (resolve,
 * myhostname, mdns4, sss, systemd), and glibc would load them into this program together with the
 * host's own glibc, which is another one: the program then dies of SIGFPE or worse, in the middle of
 * a lookup. Both ways that remain are inside the static library. systemd-resolved answers by DNS too.
 */
#include <nss.h>

__attribute__((constructor)) static void look_up_without_modules(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
}
