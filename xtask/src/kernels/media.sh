# The file systems that tests run on, mounted as far as this kernel has them.

medium() {
    mkdir -p "/media/$1"
    case $1 in
    tmpfs) mount -t tmpfs tmpfs /media/tmpfs ;;
    ext4) until_true test -b /dev/nvme0n1 && mount -t ext4 /dev/nvme0n1 /media/ext4 ;;
    overlay)
        for module in /modules/*.ko; do insmod "$module"; done
        mkdir -p /run/layers/lower /run/layers/upper /run/layers/work
        mount -t overlay -o lowerdir=/run/layers/lower,upperdir=/run/layers/upper,workdir=/run/layers/work \
            overlay /media/overlay
        ;;
    esac
}

media=
for wanted in $(cat /plan/media); do
    if medium "$wanted" >/tmp/medium 2>&1; then
        media="$media $wanted"
        section "medium.$wanted" 0 /tmp/medium
    else
        section "medium.$wanted" 1 /tmp/medium
    fi
done
