"""Opens local files by FFmpeg, containers only: nothing that is written in a file makes FFmpeg open another.

FFmpeg also has formats that are lists of other files (HLS, DASH, concat, SDP, image sequences, …). One of these, under
any name, would make it read whatever its text names.
"""

from pathlib import Path

import av
from av.container import InputContainer

from watchline.streams.limits import MAX_PIXELS

_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS
# FFmpeg's names. Audio formats are among them so that the error can say what is in the file. The last rows are single
# pictures.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpegtsraw,mpeg,mpegvideo,flv,live_flv,asf,asf_o,ogg,mxf,mxg,gxf,nut,ivf,yuv4mpegpipe,rm,wtv,dv,"
    "h261,h263,h264,hevc,vvc,evc,av1,obu,m4v,vc1,vc1test,avs,avs2,avs3,cavsvideo,dirac,dnxhd,mjpeg,mpjpeg,mjpeg_2000,"
    "3dostr,4xm,anm,apv,bethsoftvid,bfi,bink,bmv,c93,cdxl,cine,dhav,dsicin,dxa,ea,film_cpk,filmstrip,flic,frm,gdv,hnm,"
    "idcin,iff,ifv,ilbc,ipmovie,ipu,iv8,ivr,jv,kux,lmlm4,luodat,lvf,lxf,mgsts,mm,mods,moflex,msnwctcp,mtv,mv,mvi,nc,nsv,"
    "nuv,paf,pmp,psxstr,pva,r3d,rl2,roq,rpl,sdr2,ser,sga,siff,simbiosis_imx,smjpeg,smk,smush,swf,thp,tiertexseq,tmv,ty,"
    "txd,vividas,vivo,vmd,wc3movie,wsvqa,wv,xmv,yop,"
    "aac,ac3,ac4,aiff,amr,ape,au,caf,dts,dtshd,eac3,flac,mlp,mp3,oma,tak,truehd,tta,w64,wav,"
    "apng,gif,bmp_pipe,dds_pipe,dpx_pipe,exr_pipe,gem_pipe,gif_pipe,hdr_pipe,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_anim,"
    "jpegxl_pipe,jpegxs_pipe,pam_pipe,pbm_pipe,pcx_pipe,pfm_pipe,pgm_pipe,pgx_pipe,phm_pipe,png_pipe,ppm_pipe,psd_pipe,"
    "qoi_pipe,sgi_pipe,sunrast_pipe,tiff_pipe,webp_pipe,xwd_pipe"
)  # fmt: skip


def has_times(container: InputContainer) -> bool:
    """Whether the packets' times are those of the container, not FFmpeg's invention."""
    return not (container.format.flags & _NO_TIMESTAMPS or container.format.name.endswith("_pipe"))


def open_container(path: Path, end: int | None = None, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a local file with FFmpeg. Metadata that is not UTF-8 does not hurt.

    Args:
        end: the number of bytes to read, None for all.
        max_pixels: of a picture; FFmpeg refuses larger ones before it allocates them.

    Raises:
        av.error.FFmpegError: it cannot be opened.
        ValueError: it is not a container; or there is a NUL in its name.
    """
    # "file:" keeps FFmpeg from reading a name with a colon as a protocol.
    name = f"file:{path}" if end is None else f"subfile,,start,0,end,{end},,:file:{path}"
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file,subfile", "max_pixels": str(max_pixels)}
    return av.open(name, options=options, metadata_errors="replace")
